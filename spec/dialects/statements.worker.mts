import { createRequire } from 'node:module'
import createKnex, { type Knex } from 'knex'
import type { Worker } from '../support/processes.ts'

export interface Input {
  readonly config: Knex.Config
  readonly prepare: boolean
  readonly table: object
  /** True for CockroachDB's statements whatever the database is. */
  readonly cockroach: boolean
  readonly ids: readonly string[]
  readonly rounds: number
  readonly process: number
}

export interface Output {
  readonly hits: number
  readonly misses: number
  /** How many statements the database gave up for the sake of others. */
  readonly transient: number
}

const require = createRequire(import.meta.url)
const { CockroachDialect } = require('../../dist/dialects/cockroach/cockroach-dialect.js')
const { Database } = require('../../dist/knex/database.js')
const { detectDialect } = require('../../dist/dialects/drivers.js')

/** Loads rows in an order of its own, adds one to each, and writes those at the revision that was loaded. */
export default (async ({ config, table, cockroach, prepare, ids, rounds, process }, go) => {
  const knex = createKnex({ ...config, pool: { min: 0, max: 2 } })
  const options = { prepare, durability: 'all' }
  const dialect = cockroach ? new CockroachDialect(options) : detectDialect(knex, options)
  const statements = dialect.statements(table)
  const db = Database.of(knex, 10_000)
  let [hits, misses, transient] = [0, 0, 0]
  await statements.load(db, ids)
  await go()
  for (let round = 0; round < rounds; round++) {
    // Orders that differ make deadlocks, which a batch in the order of the ids would not.
    const shuffled = [...ids].sort((a, b) => hash(a, round, process) - hash(b, round, process)).slice(0, 16)
    const loaded = await statements.load(db, shuffled)
    const updates = loaded.map(({ id, revision, data }: { id: string; revision: number; data: string }) => ({
      id,
      revision,
      data: String(Number(data) + 1),
      expiresAt: Date.now() + 3_600_000,
      ownerId: null
    }))
    try {
      const answers: boolean[] = await statements.update(db, updates, Date.now())
      hits += answers.filter(Boolean).length
      misses += answers.filter((hit) => !hit).length
    } catch (error) {
      if (dialect.diagnose(error) !== 'transient') throw error
      transient++
    }
  }
  await knex.destroy()
  return { hits, misses, transient }
}) satisfies Worker<Input, Output>

function hash(text: string, round: number, process: number): number {
  let value = round * 31 + process * 17
  for (const character of text) value = (value * 33 + character.charCodeAt(0)) % 65_521
  return (value * 7919) % 65_521
}
