import express from 'express'
import session, { type SessionData } from 'express-session'
import type { Knex } from 'knex'
import { expect, it, vi } from 'vitest'
import { SessionStoreError } from '../lib'
import type { Database } from './support/databases'
import { describeDatabase } from './support/databases'
import { serve, Visitor } from './support/http'
import { PATIENT } from './support/patience'
import { describeStores, handMade, type OpenStore, openStore, type StoreOptions } from './support/stores'

const LONG = { timeout: 60_000 }
/** For a busy machine. Knex itself would wait for a minute, or for the five seconds of the store. */
const MARGIN_MS = 4000

interface Pool {
  readonly max: number
  numUsed(): number
  numPendingAcquires(): number
}

const poolOf = (knex: Knex): Pool => knex.client.pool

async function openWithPool(kind: Database, max: number | undefined, options: StoreOptions, knex: Knex.Config = {}): Promise<OpenStore> {
  const opened = await openStore(kind, options, { knex: { ...knex, ...(max === undefined ? {} : { pool: { min: 0, max } }) } })
  await opened.another().set('there', handMade({ is: 'there' }))
  await opened.store.ready()
  return opened
}

/** Transactions of the application that hold all connections of the pool. Disposing ends them. */
async function useUp(knex: Knex): Promise<AsyncDisposable & { readonly transactions: Knex.Transaction[] }> {
  const transactions: Knex.Transaction[] = []
  while (transactions.length < poolOf(knex).max) {
    const trx = await knex.transaction()
    await trx.raw('SELECT 1')
    transactions.push(trx)
  }
  return {
    transactions,
    async [Symbol.asyncDispose]() {
      for (const trx of transactions) if (!trx.isCompleted()) await trx.rollback()
    }
  }
}

async function failure(call: Promise<unknown>): Promise<{ error: unknown; ms: number }> {
  const begin = performance.now()
  const error = await call.then(
    () => undefined,
    (caught) => caught
  )
  return { error, ms: performance.now() - begin }
}

const messageOf = (error: unknown) => (error as Error).message

describeStores('a pool that the application has used up', (kind) => {
  it('is named by every method, with how many connections are in use and what to do', LONG, async () => {
    await using opened = await openWithPool(kind, 1, { timeoutMs: 1000 })
    const { store, knex } = opened
    const loaded = (await store.get('there')) as SessionData
    await using _held = await useUp(knex)
    const calls: Record<string, () => Promise<unknown>> = {
      get: () => store.get('there'),
      'set of a new session': () => store.set('new', handMade()),
      'set of a loaded session': () => store.set('there', Object.assign(loaded, { changed: true })),
      touch: () => store.touch('there', handMade()),
      destroy: () => store.destroy('there'),
      all: () => store.all(),
      ids: () => store.ids(),
      length: () => store.length(),
      clear: () => store.clear(),
      prune: () => store.prune(),
      ready: () => opened.another({ tableName: 'never_made', timeoutMs: 300 }).ready()
    }
    for (const [name, call] of Object.entries(calls)) {
      const { error, ms } = await failure(call())
      expect(error, name).toBeInstanceOf(SessionStoreError)
      expect(error, name).toMatchObject({ code: 'ERR_SESSION_POOL_EXHAUSTED', usage: { used: 1, max: 1, own: 0 } })
      expect(messageOf(error), name).toMatch(
        /no connection of the Knex pool became free in \d+ ms \(option timeoutMs\): 1 of 1 in use, [1-9]\d* waiting; /
      )
      expect(messageOf(error), name).toMatch(/Inside a transaction use store\.withTransaction\(trx\).*pool\.max/)
      expect(ms, name).toBeLessThan(1000 + MARGIN_MS)
    }
    expect((await store.health()).error).toMatchObject({ code: 'ERR_SESSION_POOL_EXHAUSTED' })
  })

  it('is named with its numbers, whatever its size', LONG, async () => {
    for (const max of [4, undefined]) {
      await using opened = await openWithPool(kind, max, { timeoutMs: 1000 })
      await using _held = await useUp(opened.knex)
      const size = poolOf(opened.knex).max
      const answers = await Promise.all(Array.from({ length: 6 }, (_, number) => failure(opened.store.set(`${number}`, handMade()))))
      for (const { error } of answers) {
        expect(error).toMatchObject({ code: 'ERR_SESSION_POOL_EXHAUSTED', usage: { used: size, max: size } })
        expect(messageOf(error)).toMatch(new RegExp(`${size} of ${size} in use, \\d+ waiting`))
      }
    }
  })

  it('is waited for: a connection that comes back in time is used', async () => {
    await using opened = await openWithPool(kind, 1, { timeoutMs: 10_000 })
    const { transactions } = await useUp(opened.knex)
    const waiting = opened.store.get('there')
    while (poolOf(opened.knex).numPendingAcquires() === 0) await new Promise(setImmediate)
    await transactions[0]?.rollback()
    expect(await waiting).toMatchObject({ is: 'there' })
  })

  it('gets back what came too late, and nothing is written with it', LONG, async () => {
    await using opened = await openWithPool(kind, 1, { timeoutMs: 1000 })
    const { store, knex } = opened
    const { transactions } = await useUp(knex)
    for (const call of [() => store.set('late', handMade()), () => store.destroy('there')]) {
      expect((await failure(call())).error).toMatchObject({ code: 'ERR_SESSION_POOL_EXHAUSTED' })
    }
    await transactions[0]?.rollback()
    expect(await store.get('late')).toBeNull()
    expect(await store.get('there')).toMatchObject({ is: 'there' })
    await new Promise(setImmediate)
    expect(poolOf(knex).numUsed()).toBe(0)
    expect(poolOf(knex).numPendingAcquires()).toBe(0)
  })

  it('whose own time limit is shorter is named too', LONG, async () => {
    await using opened = await openWithPool(kind, 1, { timeoutMs: 5000 }, { acquireConnectionTimeout: 200 })
    await using _held = await useUp(opened.knex)
    const { error, ms } = await failure(opened.store.get('there'))
    expect(error).toMatchObject({ code: 'ERR_SESSION_POOL_EXHAUSTED', usage: { used: 1, max: 1 } })
    expect(messageOf(error)).toMatch(/became free in \d+ ms \(acquireConnectionTimeout of the Knex configuration\)/)
    expect(ms).toBeLessThan(200 + MARGIN_MS)
  })

  it('by the transaction that a request waits in is named as such', LONG, async () => {
    await using opened = await openWithPool(kind, 1, { timeoutMs: 1000 })
    const app = express()
    app.use(session({ store: opened.store, secret: 'secret', resave: false, saveUninitialized: true }))
    app.get('/', (_request, response) => void response.end('hello'))
    app.get('/login', async (request, response) => {
      const error = await opened.knex.transaction(async (trx) => {
        await trx.raw('SELECT 1')
        return new Promise((resolve) => request.session.regenerate(resolve))
      })
      response.end(messageOf(error))
    })
    await using site = await serve(app)
    const visitor = new Visitor(site.url)
    await visitor.get('/')
    expect(await visitor.text('/login')).toMatch(
      /session destroy failed on \w+: no connection .* 1 of 1 in use, \d+ waiting; a transaction of the application holds it\./
    )
  })
})

describeDatabase('postgres', 'a pool that statements of the store have used up', (kind) => {
  it('because the database does not answer is not blamed on the application', LONG, async () => {
    await using opened = await openWithPool(kind, 1, { timeoutMs: 300 })
    const other = opened.database.connect()
    const trx = await other.transaction()
    await trx.raw('LOCK TABLE ?? IN ACCESS EXCLUSIVE MODE', [opened.tableName])
    const answers = await Promise.all([failure(opened.store.get('there')), failure(opened.store.set('new', handMade()))])
    for (const { error } of answers) expect(error).not.toMatchObject({ code: 'ERR_SESSION_POOL_EXHAUSTED' })
    await trx.rollback()
    // The server is told to end what was given up.
    await vi.waitUntil(() => opened.knex.client.pool.numUsed() === 0, PATIENT)
  })
})
