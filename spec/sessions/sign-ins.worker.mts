import createKnex, { type Knex } from 'knex'
import { KnexSessionStore } from 'knex-session-store'
import type { Worker } from '../support/processes.ts'

export interface Input {
  readonly config: Knex.Config
  readonly tableName: string
  /** Session ids that the owner signs in under, all at once. */
  readonly ids: readonly string[]
  readonly maxSessionsPerOwner: number
}

/** Signs one owner in under each id. */
export default (async ({ config, tableName, ids, maxSessionsPerOwner }, go) => {
  const knex = createKnex({ ...config, pool: { min: 0, max: 4 } })
  const owner = (session: object) => (session as { user?: string }).user
  const store = new KnexSessionStore({ knex, tableName, owner, maxSessionsPerOwner, pruneIntervalMs: false })
  await store.ready()
  await go()
  const cookie = { originalMaxAge: null }
  await Promise.all(ids.map((id) => store.set(id, { cookie, user: 'ada' } as never)))
  await store.close()
  await knex.destroy()
}) satisfies Worker<Input, void>
