import type { SessionData } from 'express-session'
import createKnex, { type Knex } from 'knex'
import { KnexSessionStore } from 'knex-session-store'
import type { Worker } from '../support/processes.ts'

export interface Input {
  readonly config: Knex.Config
  /** Sets the time zone of a connection, where a database has one. */
  readonly setZone: string | undefined
  readonly expiresAt: number
  readonly does: 'write' | 'read'
}

export interface Output {
  /** Of this process, in minutes. */
  readonly offset: number
  readonly expires: number
  /** Whether the session is alive a millisecond before its expiry, and at it. */
  readonly before: boolean
  readonly atTheEnd: boolean
  /** How many rows were pruned of one that ended an hour ago, and two that live. */
  readonly pruned: number
}

const HOUR = 3_600_000

export default (async ({ config, setZone, expiresAt, does }) => {
  const pool = { min: 0, max: 2, ...(setZone === undefined ? {} : { afterCreate: after(setZone) }) }
  const knex = createKnex({ ...config, pool: config.client === 'better-sqlite3' ? { min: 0, max: 1 } : pool })
  let now = expiresAt - 1
  const store = new KnexSessionStore({ knex, pruneIntervalMs: false, clock: () => now })
  const session = (moment: number) => ({ cookie: { originalMaxAge: null, expires: new Date(moment) } }) as unknown as SessionData
  try {
    if (does === 'write') {
      await store.set('id', session(expiresAt))
      await store.set('ended', session(Date.now() - HOUR))
      await store.set('alive', session(Date.now() + HOUR))
      return { offset: new Date().getTimezoneOffset(), expires: 0, before: true, atTheEnd: true, pruned: 0 }
    }
    const found = await store.get('id')
    now = expiresAt
    const atTheEnd = (await store.get('id')) !== null
    const expires = new Date(found?.cookie.expires as Date).getTime()
    return { offset: new Date().getTimezoneOffset(), expires, before: found !== null, atTheEnd, pruned: await store.prune() }
  } finally {
    await knex.destroy()
  }
}) satisfies Worker<Input, Output>

function after(sql: string) {
  return (
    connection: { query(sql: string, done: (error: Error | null) => void): void },
    done: (error: Error | null, connection: unknown) => void
  ) => {
    connection.query(sql, (error) => done(error, connection))
  }
}
