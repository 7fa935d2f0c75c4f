import createKnex, { type Knex } from 'knex'
import { KnexSessionStore } from 'knex-session-store'
import type { Worker } from '../support/processes.ts'
import { Requests } from './requests.mts'
import { requestsAtOnce } from './storm.mts'

export interface Storm {
  readonly config: Knex.Config
  readonly name: string
  readonly sessionId: string
  readonly requests: number
  readonly rounds: number
}

export interface StormResult {
  readonly errors: readonly string[]
  /** The session as this process sees it when all are done. */
  readonly keys: Readonly<Record<string, unknown>>
}

export default (async ({ config, name, sessionId, requests, rounds }, go) => {
  const knex = createKnex(config)
  const store = new KnexSessionStore({ knex, pruneIntervalMs: false })
  // Whoever comes last writes the same as the first.
  await store.set(sessionId, { cookie: { originalMaxAge: null } })
  await go()
  const errors = await requestsAtOnce(new Requests(store), sessionId, name, requests, rounds)
  let keys: Record<string, unknown> = {}
  // Until the others are done.
  for (let looks = 0; looks < 200; looks++) {
    const { cookie: _, ...found } = (await store.get(sessionId)) as object as { cookie: unknown } & Record<string, unknown>
    keys = found
    if (Object.keys(keys).length === 4 * requests && Object.values(keys).every((value) => value === rounds)) break
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  await store.close()
  await knex.destroy()
  return { errors, keys }
}) satisfies Worker<Storm, StormResult>
