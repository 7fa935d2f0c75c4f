import createKnex, { type Knex } from 'knex'
import { importSessions } from 'knex-session-store'
import type { Worker } from '../support/processes.ts'

export interface Input {
  readonly config: Knex.Config
  readonly tableName: string
}

/** Imports the sessions of connect-session-knex. Returns how many. */
export default (async ({ config, tableName }, go) => {
  const knex = createKnex({ ...config, pool: { min: 0, max: 4 } })
  await go()
  const { imported } = await importSessions(knex, { from: 'connect-session-knex', fromTable: 'old_sessions', tableName, batchSize: 100 })
  await knex.destroy()
  return imported
}) satisfies Worker<Input, number>
