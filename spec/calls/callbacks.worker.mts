import type { SessionData } from 'express-session'
import createKnex, { type Knex } from 'knex'
import { KnexSessionStore } from 'knex-session-store'
import type { Worker } from '../support/processes.ts'

export interface Input {
  readonly config: Knex.Config
  /** Throw in each callback, or give none and drop the promises too. */
  readonly callbacks: 'throw' | 'none'
}

export interface Output {
  /** How often the callback of each method was called. */
  readonly called: Record<string, number>
  /** Messages of what the process was told of as uncaught. */
  readonly uncaught: string[]
  readonly unhandled: string[]
  /** Codes of what onError was told. */
  readonly told: string[]
  /** The value of the session's `user` at the end, read by a store of its own; undefined if it is gone, null if nobody can tell. */
  readonly user: string | undefined | null
}

export default (async ({ config, callbacks }) => {
  const uncaught: string[] = []
  const unhandled: string[] = []
  const told: string[] = []
  const called: Record<string, number> = {}
  process.on('uncaughtException', (error) => uncaught.push(error.message))
  process.on('unhandledRejection', (error) => unhandled.push((error as Error).message))

  const knex = createKnex(config)
  const onError = (error: unknown) => told.push(String((error as { code?: unknown }).code))
  const store = new KnexSessionStore({ knex, pruneIntervalMs: false, timeoutMs: 2000, onError })
  const session = { cookie: { originalMaxAge: null, expires: null }, user: 'ada' } as unknown as SessionData
  if (callbacks === 'throw') await store.set('id', session)

  const throwing = (method: string) => {
    if (callbacks === 'none') return undefined as never
    return () => {
      called[method] = (called[method] ?? 0) + 1
      throw new Error(`thrown in the callback of ${method}`)
    }
  }
  store.get('id', throwing('get'))
  store.set('id', session, throwing('set'))
  store.touch('id', session, throwing('touch'))
  store.destroy('other', throwing('destroy'))
  store.all(throwing('all'))
  store.length(throwing('length'))
  store.ids(throwing('ids'))
  // Those that have no callback at all.
  if (callbacks === 'none') {
    store.clear()
    store.ready()
    store.prune()
  }
  await store.close()
  // What is uncaught or unhandled is told after the turn in which it happened.
  await new Promise((resolve) => setImmediate(resolve))
  const read =
    callbacks === 'throw'
      ? ((await new KnexSessionStore({ knex, pruneIntervalMs: false }).get('id')) as { user?: string } | null)
      : undefined
  await knex.destroy()
  return { called, uncaught, unhandled, told, user: read === undefined ? null : read?.user }
}) satisfies Worker<Input, Output>
