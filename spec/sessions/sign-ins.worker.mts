import createKnex, { type Knex } from 'knex'
import { KnexSessionStore } from 'knex-session-store'
import type { Worker } from '../support/processes.ts'

export interface Input {
  readonly config: Knex.Config
  readonly tableName: string
  /** Session ids that the owner signs in under, all at once. */
  readonly ids: readonly string[]
  readonly maxSessionsPerOwner?: number
  /** `'in'`: signs in. `'in-loaded'`: signs in with sessions that were loaded before the race. `'out'`: ends all sessions of the owner. */
  readonly what: 'in' | 'in-loaded' | 'out'
}

/** Signs one owner in under each id, or ends all of the owner's sessions. */
export default (async ({ config, tableName, ids, what, ...options }, go) => {
  const knex = createKnex({ ...config, pool: { min: 0, max: 4 } })
  const owner = (session: object) => (session as { user?: string }).user
  const store = new KnexSessionStore({ knex, tableName, owner, ...options, pruneIntervalMs: false })
  await store.ready()
  const anonymous = { cookie: { originalMaxAge: null } } as never
  const load = async (id: string) => {
    if (what === 'in') return anonymous
    await store.set(id, anonymous)
    return store.get(id)
  }
  const sessions = await Promise.all(ids.map(async (id) => [id, (await load(id)) as object] as const))
  await go()
  // The other processes pass at the same moment. The log-out comes a little later, amid the sign-ins.
  const gone = performance.now()
  while (what === 'out' && performance.now() - gone < 5);
  if (what === 'out') for (const start = Date.now(); Date.now() - start < 10; ) await store.destroyOwner('ada')
  else for (const [id, session] of sessions) await store.set(id, Object.assign(session, { user: 'ada' }) as never)
  await store.close()
  await knex.destroy()
}) satisfies Worker<Input, void>
