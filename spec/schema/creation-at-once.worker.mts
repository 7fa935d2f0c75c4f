import { setTimeout as sleep } from 'node:timers/promises'
import createKnex, { type Knex } from 'knex'
import { createSessionsTable, KnexSessionStore } from 'knex-session-store'
import type { Worker } from '../support/processes.ts'

export interface Input {
  /** An empty database for each round. */
  readonly configs: readonly Knex.Config[]
  readonly first: 'store' | 'createSessionsTable'
}

/** Long enough for one round of all processes, so that they meet again at the start of the next. */
const ROUND_MS = 300

export default (async ({ configs, first }, go) => {
  await go()
  // One moment for all processes: they came here within a few milliseconds.
  const start = Math.ceil(Date.now() / 1000 + 0.1) * 1000
  const errors: string[] = []
  for (const [round, config] of configs.entries()) {
    const knex = createKnex({ ...config, pool: { min: 0, max: 2 } })
    try {
      // What is raced for is the table: connecting takes longer than making it.
      await knex.raw('SELECT 1')
      const store = new KnexSessionStore({ knex, pruneIntervalMs: false })
      await sleep(Math.max(0, start + round * ROUND_MS - Date.now()))
      if (first === 'createSessionsTable') await createSessionsTable(knex)
      await store.set(`of ${process.pid}`, { cookie: { originalMaxAge: null }, user: 'ada' } as never)
      if ((await store.get(`of ${process.pid}`)) === null) errors.push(`round ${round}: the session is not there`)
    } catch (error) {
      errors.push(`round ${round}: ${error instanceof Error ? error.stack : error}`)
    } finally {
      await knex.destroy()
    }
  }
  return errors
}) satisfies Worker<Input, string[]>
