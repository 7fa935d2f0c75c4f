import express from 'express'
import session from 'express-session'
import { knex as createKnex, type Knex } from 'knex'
import {
  createSessionsTable,
  InvalidOptionError,
  KnexSessionStore,
  type KnexSessionStoreOptions,
  migrationsDirectory,
  SessionStoreError
} from 'knex-session-store'
import { memoryDatabase, sessionStoreContract } from 'knex-session-store/testing'
import * as unitOfWork from 'knex-session-store/unit-of-work'

declare module 'express-session' {
  interface SessionData {
    userId: number
    visits?: number
  }
}

const knex: Knex = createKnex({ client: 'pg', connection: 'postgres://localhost/app' })
const options: KnexSessionStoreOptions = { knex, tableName: 'web_sessions', ttlSeconds: (data) => ((data.userId ?? 0) > 0 ? 86_400 : 600) }
const store = new KnexSessionStore(options)
const asStore: session.Store = store

const app = express()
app.use(session({ store, secret: 'secret', resave: false, saveUninitialized: false }))
app.get('/', (req, res) => {
  req.session.visits = (req.session.visits ?? 0) + 1
  const userId: number | undefined = req.session.userId
  res.json({ userId, visits: req.session.visits })
})

export async function use(): Promise<number | undefined> {
  store.get('id', (_error, data) => {
    const visits: number | undefined = data?.visits
    return visits
  })
  const data: session.SessionData | null = await store.get('id')
  const removed: number = await store.prune()
  const live: number = await store.length()
  const done: undefined | null = await createSessionsTable(knex).then(() => null)
  await store.close()
  return data ? data.userId + removed + live + Number(done) : undefined
}

export function nameOf(error: unknown): string | undefined {
  if (error instanceof InvalidOptionError) return error.message
  return error instanceof SessionStoreError ? error.code : undefined
}

// @ts-expect-error the unit is seconds, as a number or as a function of the session
new KnexSessionStore({ knex, ttlSeconds: '1 day' })
// @ts-expect-error a visitor who is not signed in has no userId
new KnexSessionStore({ knex, owner: (data) => data.userId.toString() })
new KnexSessionStore({ knex, owner: (data) => data.userId?.toString(), maxSessionsPerOwner: 5 })
new KnexSessionStore({ knex, owner: (data) => data.userId?.toString(), details: (_data, req) => ({ agent: req?.get('user-agent') }) })
// @ts-expect-error only express-session shows the request
new KnexSessionStore({ knex, owner: (data) => data.userId?.toString(), details: (_data, req) => ({ address: req.ip }) })
// @ts-expect-error an option that there is none of
new KnexSessionStore({ knex, ttl: 5 })
// @ts-expect-error a Knex is not opened by surprise
new KnexSessionStore({})

sessionStoreContract(() => new KnexSessionStore({ knex: memoryDatabase().knex }))

export { asStore, migrationsDirectory, unitOfWork }
