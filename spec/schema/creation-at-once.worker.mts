import { setTimeout as sleep } from 'node:timers/promises'
import createKnex, { type Knex } from 'knex'
import { createSessionsTable, KnexSessionStore } from 'knex-session-store'
import type { Worker } from '../support/processes.ts'

export interface Input {
  /** An empty database for each round. */
  readonly configs: readonly Knex.Config[]
  readonly first: 'store' | 'createSessionsTable'
}

/** Long enough for one round, so that every process is at the line when the next one starts. */
const ROUND_MS = 200

export default (async ({ configs, first }, go) => {
  const instances = configs.map((config) => createKnex({ ...config, pool: { min: 0, max: 2 } }))
  // What is raced for is the table: connecting takes longer than making it.
  for (const knex of instances) await knex.raw('SELECT 1')
  const stores = instances.map((knex) => new KnexSessionStore({ knex, pruneIntervalMs: false }))
  await go()
  let start = Math.ceil(Date.now() / ROUND_MS + 1) * ROUND_MS
  const errors: string[] = []
  for (const [round, store] of stores.entries()) {
    await sleep(start - Date.now())
    while (Date.now() < start);
    try {
      if (first === 'createSessionsTable') await createSessionsTable(instances[round] as Knex)
      await store.set(`of ${process.pid}`, { cookie: { originalMaxAge: null }, user: 'ada' } as never)
      if ((await store.get(`of ${process.pid}`)) === null) errors.push(`round ${round}: the session is not there`)
    } catch (error) {
      errors.push(`round ${round}: ${error instanceof Error ? error.stack : error}`)
    }
    start = Math.max(start + ROUND_MS, Math.ceil(Date.now() / ROUND_MS) * ROUND_MS)
  }
  for (const knex of instances) await knex.destroy()
  return errors
}) satisfies Worker<Input, string[]>
