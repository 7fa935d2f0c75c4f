import { mock } from 'node:test'
import createKnex, { type Knex } from 'knex'
import { createSessionsTable, KnexSessionStore } from 'knex-session-store'
import type { Worker } from '../support/processes.ts'

/** Mock timers of `node:test`, switched on right after the table was made and while calls are under way. The process then has to end by itself. */
export default (async ({ config }) => {
  const knex = createKnex(config)
  await createSessionsTable(knex)
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'setImmediate', 'Date'], now: Date.now() })
  const store = new KnexSessionStore({ knex })
  const session = { cookie: { originalMaxAge: 60_000 }, user: 'ada' }
  await store.set('a', session as never)
  const underWay = [store.get('a'), store.get('b')]
  mock.timers.reset()
  const found = (await Promise.all(underWay)).map((one) => (one as { user?: string } | null)?.user)
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'setImmediate'] })
  found.push(((await store.get('a')) as { user?: string } | null)?.user)
  // Knex's pool clears its own timers by the globals, so it is destroyed with the real ones. The store is not closed, on purpose.
  mock.timers.reset()
  await knex.destroy()
  return found
}) satisfies Worker<{ config: Knex.Config }>
