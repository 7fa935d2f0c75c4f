import express, { type Request } from 'express'
import session, { MemoryStore, type SessionData, type Store } from 'express-session'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { KnexSessionStore } from '../../lib'
import { serve, Visitor } from '../support/http'
import type { LocalServer } from '../support/local-server'
import { PATIENT } from '../support/patience'
import { startRedis } from '../support/redis-server'
import { describeStores, handMade, openStore, type StoreOptions, shareDatabase } from '../support/stores'
import { OTHER_STORES } from './other-stores'

type Data = { user?: string; visits?: number }
const owner: StoreOptions['owner'] = (data) => (data as Data).user
const dataOf = (req: Request) => req.session as unknown as Data

let redis: LocalServer | undefined
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis?.stop())

/** A site with the same cookies whatever its store is. */
function siteOn(store: Store) {
  const app = express()
    .use(session({ store, secret: 'secret of this spec', resave: false, saveUninitialized: false, cookie: { maxAge: 3_600_000 } }))
    .get('/in', (req, res) => {
      dataOf(req).user = 'ada'
      res.end()
    })
    .get('/visit', (req, res) => {
      dataOf(req).visits = (dataOf(req).visits ?? 0) + 1
      res.end()
    })
    .get('/who', (req, res) => void res.json([dataOf(req).user ?? null, dataOf(req).visits ?? 0]))
    .get('/out', (req, res) => req.session.destroy(() => res.end()))
  return serve(app)
}

const done = (_id: string, callback: () => void) => callback()
const has = (store: Store, id: string) =>
  new Promise<boolean>((resolve, reject) => store.get(id, (error, data) => (error ? reject(error) : resolve(Boolean(data)))))
const put = (store: Store, id: string, data: object) =>
  new Promise<void>((resolve, reject) => store.set(id, handMade(data) as SessionData, (error) => (error ? reject(error) : resolve())))

/** Counts what is asked of a store. */
function watched(store: Store) {
  const calls: string[] = []
  const watch = (name: 'get' | 'destroy') => (id: string, callback: (error?: unknown, data?: never) => void) => {
    calls.push(name)
    return store[name](id, callback as never)
  }
  return { calls, store: { get: watch('get'), destroy: watch('destroy') } as unknown as Store }
}

describeStores('to migrate from another store', (kind) => {
  const database = shareDatabase(kind)
  const open = (migrateFrom: StoreOptions['migrateFrom'] & object, options: StoreOptions = {}) =>
    openStore(database(), { owner, migrateFrom, ...options })

  for (const [name, openOther] of Object.entries(OTHER_STORES)) {
    it(`${name} signs nobody out, and ends each session there`, async ({ skip }) => {
      await using opened = await openStore(database(), { owner })
      const other = await openOther({ url: database().url, knex: opened.knex, name: database().name, redis })
      if (other === undefined) return skip(`${name} does not run on ${kind.name}, or its server is not there`)
      await using _ = other
      const visitor = await (async () => {
        await using old = await siteOn(other.store)
        const signedIn = new Visitor(old.url)
        await signedIn.get('/in')
        await signedIn.get('/visit')
        return signedIn
      })()
      const store = opened.another({ owner, migrateFrom: other.store })
      await using site = await siteOn(store)
      const moved = visitor.at(site.url)
      // Two requests at once: one of them carries the session over.
      expect(await Promise.all([moved.json('/who'), moved.json('/who')])).toEqual([
        ['ada', 1],
        ['ada', 1]
      ])
      await moved.get('/visit')
      expect(await moved.json('/who')).toEqual(['ada', 2])
      expect(await store.countOf('ada')).toBe(1)
      const id = sessionIdOf(moved)
      expect(await has(other.store, id)).toBe(false)
      await moved.get('/out')
      expect(await moved.json('/who')).toEqual([null, 0])
    })
  }

  it('asks there after a miss alone, and never for a session that has ended here', async () => {
    const old = watched(new MemoryStore())
    await using opened = await open(old.store)
    const { store } = opened
    await store.set('here', handMade({ user: 'ada' }))
    await store.get('here')
    await store.destroy('here')
    old.calls.length = 0
    expect(await store.get('here')).toBeNull()
    expect(old.calls).toEqual([])
    expect(await store.get('nowhere')).toBeNull()
    expect(old.calls).toEqual(['get'])
  })

  it('refuses a misspelt readOnly, which would end sessions there', () => {
    expect(
      () => new KnexSessionStore({ knex: database().knex, migrateFrom: { store: new MemoryStore(), readonly: true } as never })
    ).toThrow(/unknown option "migrateFrom.readonly".*readOnly/)
  })

  it('takes what the other store returns for alive, though the expiry in the session is that of an earlier visit', async () => {
    const old = { get: (_id: string, callback: (error: null, data: object) => void) => callback(null, stale), destroy: done }
    const stale = { cookie: { originalMaxAge: 60_000, expires: new Date(Date.now() - 5000).toISOString() }, user: 'ada' }
    await using opened = await open(old as unknown as Store)
    expect(await opened.store.get('id')).toMatchObject({ user: 'ada' })
    const [device] = await opened.store.ofOwner('ada')
    expect(Math.abs((device?.expiresAt ?? 0) - Date.now() - 60_000)).toBeLessThan(10_000)
  })

  it.each<[what: string, cookie: object, options: StoreOptions, lifeMs: number | null]>([
    ['ttlSeconds', { originalMaxAge: null }, { ttlSeconds: 7200 }, 7_200_000],
    ['ttlSeconds as a function', { originalMaxAge: 60_000 }, { ttlSeconds: () => 7200 }, 7_200_000],
    ['nothing, as that function says', { originalMaxAge: 60_000 }, { ttlSeconds: () => 0 }, null],
    ['its maxAge, but no longer than maxLifetimeSeconds', { originalMaxAge: 9_000_000 }, { maxLifetimeSeconds: 3600 }, 3_600_000]
  ])('gives such a session a life of %s', async (_what, cookie, options, lifeMs) => {
    const stale = { cookie: { ...cookie, expires: new Date(Date.now() - 5000).toISOString() }, user: 'ada' }
    const old = { get: (_id: string, callback: (error: null, data: object) => void) => callback(null, stale), destroy: done }
    await using opened = await open(old as unknown as Store, options)
    expect((await opened.store.get('id')) !== null).toBe(lifeMs !== null)
    const [device] = await opened.store.ofOwner('ada')
    if (lifeMs !== null) expect(Math.abs((device?.expiresAt ?? 0) - Date.now() - lifeMs)).toBeLessThan(60_000)
  })

  it('signs nobody out who has more sessions than maxSessionsPerOwner', async () => {
    const old = new MemoryStore()
    await using opened = await open(old, { maxSessionsPerOwner: 1 })
    for (const id of ['phone', 'laptop', 'tablet']) await put(old, id, { user: 'ada' })
    for (const id of ['phone', 'laptop', 'tablet']) expect(await opened.store.get(id)).not.toBeNull()
    expect(await opened.store.countOf('ada')).toBe(3)
  })

  it('waits no longer for the other store than for the database', async () => {
    const old = { get: (_id: string, callback: (error: null, data: null) => void) => callback(null, null), destroy: () => undefined }
    await using opened = await open(old as unknown as Store, { timeoutMs: 1500 })
    const { store } = opened
    await store.set('id', handMade({ user: 'ada' }))
    await expect(store.destroy('id')).rejects.toThrow()
    await expect.poll(() => store.destroyOwner('ben').catch(() => 'still waits'), PATIENT).toBe(0)
    expect(await store.get('id')).toBeNull()
  })

  it('takes a session that cannot be stored here for none, with an event', async () => {
    const old = { get: (_id: string, callback: (error: null, data: object) => void) => callback(null, { user: 'ada' }), destroy: done }
    await using opened = await open(old as unknown as Store)
    const unreadable = new Promise((resolve) => opened.store.once('unreadable', resolve))
    expect(await opened.store.get('id')).toBeNull()
    expect(await unreadable).toEqual({ reason: expect.stringContaining('other store') })
  })

  it('keeps the expiry of the session', async () => {
    const old = new MemoryStore()
    await using opened = await open(old)
    const expires = new Date(Date.now() + 5_000_000)
    await new Promise((resolve) => old.set('id', { cookie: { originalMaxAge: 9_000_000, expires } } as never, resolve))
    const loaded = await opened.store.get('id')
    expect(new Date(loaded?.cookie.expires as never).getTime()).toBe(expires.getTime())
  })

  it('lets no log-out be undone by a request that reads the session there meanwhile', async () => {
    const old = new MemoryStore()
    let release = () => {}
    let arrived = () => {}
    const reached = new Promise<void>((resolve) => (arrived = resolve))
    const slow = {
      // Reads the session, and brings it late.
      get: (id: string, callback: (error: unknown, data?: SessionData | null) => void) =>
        old.get(id, (error, data) => {
          release = () => callback(error, data)
          arrived()
        }),
      destroy: old.destroy.bind(old)
    } as unknown as Store
    await using opened = await open(slow)
    const other = opened.another({ owner, migrateFrom: old })
    await put(old, 'id', { user: 'ada' })
    const reading = opened.store.get('id')
    await reached
    await other.destroy('id')
    release()
    expect(await reading).toBeNull()
    expect(await has(old, 'id')).toBe(false)
    expect(await other.get('id')).toBeNull()
  })

  it('brings the session to a process that missed it here while another one carried it over', async () => {
    const old = new MemoryStore()
    let carried: Promise<unknown> = Promise.resolve()
    await using opened = await openStore(database(), { owner })
    const other = opened.another({ owner, migrateFrom: old })
    // Asked there, it has already been carried over by the other process.
    const late = {
      get: (id: string, callback: (error: unknown, data?: SessionData | null) => void) => {
        carried = other.get(id)
        carried.then(() => old.get(id, callback))
      },
      destroy: old.destroy.bind(old)
    } as unknown as Store
    const store = opened.another({ owner, migrateFrom: late })
    await put(old, 'id', { user: 'ada' })
    expect(await store.get('id')).toMatchObject({ user: 'ada' })
  })

  it('does not carry over a session of an owner who has logged out everywhere, but the one kept', async () => {
    const old = new MemoryStore()
    await using opened = await open(old)
    const { store } = opened
    for (const id of ['phone', 'laptop', 'tablet']) await put(old, id, { user: 'ada' })
    await put(old, 'other', { user: 'ben' })
    await store.get('phone')
    await store.destroyOwner('ada', { except: 'laptop' })
    const found = await Promise.all(['phone', 'laptop', 'tablet', 'other'].map(async (id) => (await store.get(id)) !== null))
    expect(found).toEqual([false, true, false, true])
    expect(await Promise.all(['phone', 'laptop', 'tablet'].map((id) => has(old, id)))).toEqual([false, false, false])
  })

  it('does not come back after a log-out is pruned, where the old store is only read', async () => {
    const old = new MemoryStore()
    const { calls, store: watchedOld } = watched(old)
    let now = Date.now()
    await using opened = await open({ store: watchedOld, readOnly: true }, { clock: () => now })
    const { store, knex, tableName } = opened
    for (const id of ['a', 'b', 'c']) await put(old, id, { user: `user ${id}` })
    for (const id of ['a', 'b', 'c']) expect(await store.get(id)).toMatchObject({ user: `user ${id}` })
    await store.destroy('a')
    const [device] = await store.ofOwner('user b')
    await store.destroyHandle(device?.handle as string, { ownerId: 'user b' })
    await store.destroyOwner('user c')
    expect(calls).not.toContain('destroy')
    now += 30 * 86_400_000
    // As if the rows were as old by the clock of the database.
    await knex(tableName).update({ expires_hour: knex.raw('expires_hour - ?', [30 * 24]) })
    await store.prune()
    expect(await Promise.all(['a', 'b', 'c'].map((id) => store.get(id)))).toEqual([null, null, null])
    expect(await Promise.all(['a', 'b', 'c'].map((id) => has(old, id)))).toEqual([true, true, true])
  })

  it('is part of a transaction: rolled back, the session is still there', async () => {
    const old = new MemoryStore()
    await using opened = await open(old)
    const { store, knex } = opened
    await store.ready()
    await put(old, 'id', { user: 'ada' })
    const trx = await knex.transaction()
    expect(await store.withTransaction(trx).get('id')).toMatchObject({ user: 'ada' })
    await trx.rollback()
    expect(await has(old, 'id')).toBe(true)
    expect(await store.get('id')).toMatchObject({ user: 'ada' })
  })

  it.each<[what: string, other: object]>([
    ['an error', { get: (_id: string, callback: (error: Error) => void) => callback(new RangeError('on purpose')) }],
    [
      'a throw',
      {
        get: () => {
          throw new RangeError('on purpose')
        }
      }
    ],
    ['a rejection', { get: () => Promise.reject(new RangeError('on purpose')) }]
  ])('fails if the other store fails, and takes it for no missing session: %s', async (_what, other) => {
    await using opened = await open({ destroy: () => undefined, ...other } as unknown as Store)
    await expect(opened.store.get('id')).rejects.toMatchObject({
      code: 'ERR_SESSION_OTHER_STORE',
      cause: new RangeError('on purpose'),
      message: expect.stringMatching(/migrateFrom.*get.*see cause/)
    })
  })

  it('carries a session over though it cannot be ended there, and tells onError', async () => {
    const old = new MemoryStore()
    const errors: unknown[] = []
    const stubborn = {
      get: old.get.bind(old),
      destroy: (_id: string, callback: (error: Error) => void) => callback(new RangeError('on purpose'))
    } as unknown as Store
    await using opened = await open(stubborn, { onError: (error) => errors.push(error) })
    await put(old, 'id', { user: 'ada' })
    expect(await opened.store.get('id')).toMatchObject({ user: 'ada' })
    expect(errors).toEqual([expect.objectContaining({ code: 'ERR_SESSION_OTHER_STORE' })])
    await expect(opened.store.destroy('id')).rejects.toMatchObject({ code: 'ERR_SESSION_OTHER_STORE' })
    expect(await opened.store.get('id')).toBeNull()
  })

  it('misses nothing when processes and log-outs run beside each other', async () => {
    const old = new MemoryStore()
    await using opened = await open(old)
    const stores = [opened.store, opened.another({ owner, migrateFrom: old }), opened.another({ owner, migrateFrom: old })]
    const ids = Array.from({ length: 60 }, (_, number) => `session ${number}`)
    await Promise.all(ids.map((id) => put(old, id, { user: id })))
    const isEnded = (number: number) => number % 3 === 0
    await Promise.all(
      ids.flatMap((id, number) => [
        ...stores.map((store) => store.get(id)),
        ...(isEnded(number) ? [(stores[number % 3] as KnexSessionStore).destroy(id)] : [])
      ])
    )
    const found = await Promise.all(
      ids.map(async (id, number) => (await (stores[number % 3] as Store & KnexSessionStore).get(id)) !== null)
    )
    expect(found).toEqual(ids.map((_, number) => !isEnded(number)))
    expect(await Promise.all(ids.map((id) => has(old, id)))).toEqual(ids.map(() => false))
  })
})

/** The id in the signed cookie. */
function sessionIdOf(visitor: Visitor): string {
  return decodeURIComponent(visitor.cookies.get('connect.sid') as string)
    .slice(2)
    .split('.')[0] as string
}
