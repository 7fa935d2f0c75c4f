import { join } from 'node:path'
import { expect, it } from 'vitest'
import { createSessionsTable } from '../../lib'
import { describeDatabases, type OpenDatabase } from '../support/databases'
import { runProcesses } from '../support/processes'
import type { Input } from './creation-at-once.worker.mts'
import { dumpTable } from './table-dump'

const WORKER = join(__dirname, 'creation-at-once.worker.mts')
const PROCESSES = 8
const ROUNDS = 20

describeDatabases('the sessions table', (database) => {
  it(`made by ${PROCESSES} processes at once, ${ROUNDS} times, is there once and without an error`, { timeout: 120_000 }, async () => {
    await using opened = new AsyncDisposableStack()
    const open = async () => opened.use(await database.open({ knex: { pool: { min: 0, max: 1 } } }))
    const rounds: OpenDatabase[] = []
    for (let round = 0; round < ROUNDS; round++) rounds.push(await open())
    const configs = rounds.map(({ config }) => config)

    const inputs = Array.from(
      { length: PROCESSES },
      (_, process): Input => ({
        configs,
        first: process % 2 === 0 ? 'store' : 'createSessionsTable'
      })
    )
    const results = await runProcesses<Input, string[]>(WORKER, inputs, { timeoutMs: 110_000 })
    expect(results).toEqual(inputs.map(() => expect.objectContaining({ output: [], error: undefined, exitCode: 0 })))

    const alone = await open()
    await createSessionsTable(alone.knex)
    const expected = await dumpTable(database.name, alone.knex)
    for (const { knex } of rounds) {
      expect(await dumpTable(database.name, knex)).toBe(expected)
      expect(await knex('sessions').count({ rows: '*' })).toEqual([{ rows: expect.toSatisfy((rows) => Number(rows) === PROCESSES) }])
    }
  })
})
