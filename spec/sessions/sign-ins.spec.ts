import { randomBytes, scrypt } from 'node:crypto'
import { promisify } from 'node:util'
import express, { type Request } from 'express'
import session, { type SessionData } from 'express-session'
import { expect, it } from 'vitest'
import { encrypted, type KnexSessionStore } from '../../lib'
import { serve, Visitor } from '../support/http'
import { Clock, describeStores, handMade, openStore, type StoreOptions, shareDatabase } from '../support/stores'

type Data = { user?: string }
const owner: StoreOptions['owner'] = (data) => (data as Data).user
const MINUTE_MS = 60_000

describeStores('the sign-in of a session that began before', (kind) => {
  const database = shareDatabase(kind)
  const open = async (options: StoreOptions = {}) => {
    const clock = new Clock()
    const opened = await openStore(database(), { owner, clock: clock.read, ...options })
    return { ...opened, clock, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() }
  }
  const loaded = async (store: KnexSessionStore, id: string) => (await store.get(id)) as SessionData & Data

  it('begins it anew: of a limited number it is the newest, and the oldest sign-in ends', async () => {
    await using opened = await open({ maxSessionsPerOwner: 2 })
    const { store, clock } = opened
    // They browse from the beginning, and sign in after the others.
    await store.set('visitor', handMade())
    clock.advance(MINUTE_MS)
    await store.set('first', handMade({ user: 'ada' }))
    clock.advance(MINUTE_MS)
    await store.set('second', handMade({ user: 'ada' }))
    clock.advance(MINUTE_MS)
    await store.set('visitor', Object.assign(await loaded(store, 'visitor'), { user: 'ada' }))
    expect((await store.ofOwner('ada')).map(({ createdAt }) => clock.now - createdAt)).toEqual([0, MINUTE_MS])
    expect(await Promise.all(['visitor', 'first', 'second'].map(async (id) => (await store.get(id)) !== null))).toEqual([true, false, true])
  })

  it('begins it anew where another request changes the session meanwhile', async () => {
    await using opened = await open()
    const { store, clock } = opened
    await store.set('id', handMade())
    const [here, there] = [await loaded(store, 'id'), await loaded(opened.another({ owner }), 'id')]
    clock.advance(MINUTE_MS)
    await opened.another({ owner, clock: clock.read }).set('id', Object.assign(there, { theme: 'dark' }))
    await store.set('id', Object.assign(here, { user: 'ada' }))
    expect((await store.ofOwner('ada')).map(({ createdAt, session: data }) => [clock.now - createdAt, data])).toEqual([
      [0, expect.objectContaining({ user: 'ada', theme: 'dark' })]
    ])
  })

  it('gives it the life of a new session, and no later write does', async () => {
    await using opened = await open({ maxLifetimeSeconds: 3600, ttlSeconds: () => 86_400 })
    const { store, clock } = opened
    await store.set('id', handMade())
    clock.advance(59 * MINUTE_MS)
    await store.set('id', Object.assign(await loaded(store, 'id'), { user: 'ada' }))
    clock.advance(59 * MINUTE_MS)
    await store.set('id', Object.assign(await loaded(store, 'id'), { theme: 'dark' }))
    expect(await store.get('id')).toMatchObject({ user: 'ada', theme: 'dark' })
    clock.advance(2 * MINUTE_MS)
    expect(await store.get('id')).toBeNull()
  })

  it.each([true, false])('is not undone by a slow request that holds the older session (a ttlSeconds function: %s)', async (isFunction) => {
    await using opened = await open({ maxLifetimeSeconds: 7200, ttlSeconds: isFunction ? () => 3600 : 3600 })
    const { store, clock } = opened
    const browserSession = { originalMaxAge: null, maxAge: null, expires: null }
    await store.set('id', handMade({}, browserSession))
    clock.advance(55 * MINUTE_MS)
    await store.touch('id', await loaded(store, 'id'))
    clock.advance(50 * MINUTE_MS)
    const slow = await loaded(store, 'id')
    await store.set('id', Object.assign(await loaded(store, 'id'), { user: 'ada' }))
    clock.advance(16 * MINUTE_MS)
    // The life of the session that it holds is over.
    await store.set('id', Object.assign(slow, { theme: 'dark' }))
    clock.advance(40 * MINUTE_MS)
    expect(await store.get('id')).toMatchObject({ user: 'ada', theme: 'dark' })
  })

  it('begins a new one for the next owner', async () => {
    await using opened = await open()
    const { store, clock } = opened
    await store.set('id', handMade({ user: 'ada' }))
    clock.advance(MINUTE_MS)
    await store.set('id', Object.assign(await loaded(store, 'id'), { user: 'ben' }))
    expect((await store.ofOwner('ben')).map(({ createdAt }) => createdAt)).toEqual([clock.now])
  })
})

describeStores('a session that was written before the store had the option owner', (kind) => {
  const database = shareDatabase(kind)
  const details: StoreOptions['details'] = () => ({ agent: 'phone' })
  const open = async () => {
    const clock = new Clock()
    const without = await openStore(database(), { clock: clock.read })
    const store = without.another({ owner, details, maxSessionsPerOwner: 1, clock: clock.read })
    for (const id of ['first', 'second']) {
      await without.store.set(id, handMade({ user: 'ada' }))
      clock.advance(MINUTE_MS)
    }
    return { ...without, without: without.store, store, clock, [Symbol.asyncDispose]: () => without[Symbol.asyncDispose]() }
  }

  it.each(['touch', 'set'] as const)('gets its owner and its details at its next %s, though nothing of it has changed', async (method) => {
    await using opened = await open()
    const { store, clock } = opened
    expect(await store.countOf('ada')).toBe(0)
    // No limit applies: nobody has signed in.
    for (const id of ['first', 'second']) await store[method](id, (await store.get(id)) as SessionData)
    expect((await store.ofOwner('ada')).map(({ createdAt, details: shown }) => [clock.now - createdAt, shown])).toEqual([
      [MINUTE_MS, { agent: 'phone' }],
      [2 * MINUTE_MS, { agent: 'phone' }]
    ])
    const { calls } = store.stats().statements.set as { calls: number }
    await store[method]('first', (await store.get('first')) as SessionData)
    expect(store.stats().statements.set).toMatchObject({ calls })
    expect(await store.destroyOwner('ada')).toBe(2)
  })

  it('is no sign-in when it is only encrypted at its first load', async () => {
    await using opened = await open()
    const key = randomBytes(32).toString('base64')
    const seen: unknown[] = []
    const request = { agent: 'phone' }
    const encrypting = opened.another({
      owner,
      codec: encrypted({ keys: [key], acceptPlain: true }),
      details: (data) => {
        seen.push((data as { req?: unknown }).req)
        return request
      },
      clock: opened.clock.read
    })
    const first = (await encrypting.get('first')) as SessionData
    // The other one is as it was.
    expect(await opened.knex(opened.tableName).where('data', 'like', '%ada%')).toHaveLength(1)
    expect([seen, await encrypting.countOf('ada')]).toEqual([[], 0])
    await encrypting.touch('first', Object.defineProperty(first, 'req', { value: request, configurable: true }))
    expect([seen, (await encrypting.ofOwner('ada')).map(({ details }) => details)]).toEqual([[request], [request]])
  })

  it('ends if all sessions of its owner were ended since it began', async () => {
    await using opened = await open()
    const { store } = opened
    const first = (await store.get('first')) as SessionData
    expect(await store.destroyOwner('ada')).toBe(0)
    await store.touch('first', first)
    await store.touch('second', (await store.get('second')) as SessionData)
    expect([await store.get('first'), await store.get('second'), await store.countOf('ada')]).toEqual([null, null, 0])
  })

  it('has the owner that the option says today', async () => {
    await using opened = await open()
    const { store, clock } = opened
    await store.touch('first', (await store.get('first')) as SessionData)
    const byTeam = opened.another({ owner: (data) => (owner(data) === 'ada' ? 'team' : null), clock: clock.read })
    await byTeam.touch('first', (await byTeam.get('first')) as SessionData)
    expect(await store.countByOwner()).toEqual(new Map([['team', 1]]))
    const without = opened.another({ owner: () => null, clock: clock.read })
    await without.touch('first', (await without.get('first')) as SessionData)
    expect(await store.countByOwner()).toEqual(new Map())
  })
})

describeStores('a sign-in that gets its session id after the password was checked', (kind) => {
  const database = shareDatabase(kind)
  const open = async (options: StoreOptions = {}) => {
    const opened = await openStore(database(), { owner, ...options })
    // On MariaDB a table that is made in a transaction commits it.
    await opened.store.ready()
    return opened
  }

  /** Checks the password while `meanwhile` runs, and signs in with a new session. */
  async function openSite(store: KnexSessionStore, meanwhile: (req: Request) => Promise<unknown>) {
    const app = express()
      .use(session({ store, secret: 'secret of this spec', resave: false, saveUninitialized: false }))
      .get('/visit', (req, res) => {
        Object.assign(req.session, { visited: true })
        res.end()
      })
      .get('/in', async (req, res) => {
        await promisify(scrypt)('password', 'salt', 64)
        await meanwhile(req)
        await new Promise<void>((resolve) => req.session.regenerate(() => resolve()))
        Object.assign(req.session, { user: 'ada' })
        res.end()
      })
      .get('/who', (req, res) => void res.json((req.session as Data).user ?? null))
    return serve(app)
  }
  const userAfter = async (store: KnexSessionStore, isNew: boolean, meanwhile: (req: Request) => Promise<unknown>) => {
    await using site = await openSite(store, meanwhile)
    const visitor = new Visitor(site.url)
    if (!isNew) await visitor.get('/visit')
    await visitor.get('/in')
    return await visitor.json('/who')
  }

  it.each([true, false])('ends, if another request logs out everywhere before it is done (a new visitor: %s)', async (isNew) => {
    await using opened = await open()
    const { store, knex } = opened
    // Another process; another request of this one; that request, in a transaction.
    const other = opened.another({ owner, knex: opened.database.connect() })
    expect(await userAfter(store, isNew, () => other.destroyOwner('ada', { except: { sessionID: 'of another request' } }))).toBeNull()
    expect(
      await userAfter(store, isNew, () =>
        knex.transaction((trx) => store.withTransaction(trx).destroyOwner('ada', { except: { sessionID: 'of another' } }))
      )
    ).toBeNull()
  })

  it.each([true, false])('stays, if its own request has logged out everywhere (a new visitor: %s)', async (isNew) => {
    await using opened = await open()
    const { store, knex } = opened
    expect(await userAfter(store, isNew, (req) => store.destroyOwner('ada', { except: req }))).toBe('ada')
    expect(await userAfter(store, isNew, () => store.destroyOwner('ada'))).toBe('ada')
    expect(
      await userAfter(store, isNew, (req) => knex.transaction((trx) => store.withTransaction(trx).destroyOwner('ada', { except: req })))
    ).toBe('ada')
  })

  it('stays after the log-out of a transaction that was rolled back', async () => {
    await using opened = await open()
    const { store, knex } = opened
    const undone = () =>
      knex
        .transaction(async (trx) => {
          await store.withTransaction(trx).destroyOwner('ada')
          throw new RangeError('on purpose')
        })
        .catch((error) => expect(error).toBeInstanceOf(RangeError))
    expect(await userAfter(store, true, undone)).toBe('ada')
  })

  it('fails and ends, if the store cannot tell whether it was logged out', async () => {
    await using opened = await open()
    const { store, knex } = opened
    await store.ready()
    const refuse = ({ sql }: { sql: string }) => {
      if (/^\s*select .* - .*created_at/i.test(sql)) throw new RangeError('on purpose')
    }
    knex.on('query', refuse)
    await expect(store.set('id', handMade({ user: 'ada' }))).rejects.toThrow(
      expect.objectContaining({ code: 'ERR_SESSION_QUERY_LISTENER' })
    )
    knex.off('query', refuse)
    expect(await store.get('id')).toBeNull()
  })
})
