import { join } from 'node:path'
import express from 'express'
import session, { type SessionData } from 'express-session'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { KnexSessionStore } from '../../lib'
import { serve, Visitor } from '../support/http'
import { pause } from '../support/leaks'
import { runProcess } from '../support/processes'
import { Clock, describeStores, handMade, openStore, type StoreOptions, shareDatabase } from '../support/stores'
import type { Input, Output } from './time-zone.worker.mts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** Not vi.waitUntil, which moves the fake time. */
async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await pause(5)
}

/** How many statements were sent since the start, however a database carries one out. */
function statementsOf(store: KnexSessionStore): number {
  return Object.values(store.stats().statements).reduce((total, { calls }) => total + calls, 0)
}

const expiresAtOf = (found: SessionData | null) => new Date(found?.cookie.expires as Date).getTime()

describeStores('a session is alive', (kind) => {
  const database = shareDatabase(kind)

  it('one millisecond before it expires, and dead in the one in which it does', async () => {
    const clock = new Clock()
    await using opened = await openStore(database(), { clock: clock.read })
    const { store } = opened
    const expiresAt = clock.now + HOUR
    await store.set('id', handMade({}, { expires: new Date(expiresAt) }))
    const loaded = (await store.get('id')) as SessionData
    clock.now = expiresAt - 1
    expect([await store.get('id'), (await store.all()).length, (await store.ids()).length, await store.length()]).toEqual([
      expect.anything(),
      1,
      1,
      1
    ])
    clock.now = expiresAt
    expect([await store.get('id'), await store.all(), await store.ids(), await store.length()]).toEqual([null, [], [], 0])
    loaded.cookie.expires = new Date(expiresAt + HOUR)
    await store.touch('id', loaded)
    await store.set('id', loaded)
    expect(await store.get('id')).toBeNull()
  })

  it.each([
    ['300 ms ahead', (now: number) => new Date(now + 300), 300],
    ['given as a string', (now: number) => new Date(now + HOUR).toISOString(), HOUR],
    ['given as a number', (now: number) => now + HOUR, HOUR],
    ['in the year 9999', () => new Date('9999-12-31T23:59:59.999Z'), undefined]
  ] as const)('until its cookie expires: %s', async (_what, expires, life) => {
    const clock = new Clock()
    await using opened = await openStore(database(), { clock: clock.read })
    const given = expires(clock.now)
    await opened.store.set('id', handMade({}, { originalMaxAge: null, expires: given }))
    expect(expiresAtOf(await opened.store.get('id'))).toBe(new Date(given).getTime())
    if (life === undefined) return
    clock.advance(life - 1)
    expect(await opened.store.get('id')).not.toBeNull()
    clock.advance(1)
    expect(await opened.store.get('id')).toBeNull()
  })

  it('for the maxAge alone, where a cookie was written by hand', async () => {
    const clock = new Clock()
    await using opened = await openStore(database(), { clock: clock.read })
    await opened.store.set('id', handMade({}, { maxAge: 300, originalMaxAge: 300 }))
    expect(expiresAtOf(await opened.store.get('id'))).toBe(clock.now + 300)
    clock.advance(300)
    expect(await opened.store.get('id')).toBeNull()
  })

  it('not at all, where its cookie has expired', async () => {
    await using opened = await openStore(database())
    await opened.store.set('id', handMade({}, { expires: new Date(Date.now() - 1) }))
    expect(await opened.store.get('id')).toBeNull()
  })

  it('no longer when a loaded session is given a cookie that has expired', async () => {
    await using opened = await openStore(database())
    await opened.store.set('id', handMade())
    const loaded = (await opened.store.get('id')) as SessionData
    loaded.cookie.expires = new Date(Date.now() - 1)
    await opened.store.set('id', loaded)
    expect(await opened.store.get('id')).toBeNull()
  })

  it('as long as a ttl function says, over its cookie, also when that gives less later', async () => {
    const clock = new Clock()
    await using opened = await openStore(database(), {
      clock: clock.read,
      ttlSeconds: (data) => ((data as { role?: string }).role === 'admin' ? 60 : 3600)
    })
    const { store } = opened
    await store.set('id', handMade({ role: 'reader' }, { expires: new Date(clock.now + DAY) }))
    const loaded = (await store.get('id')) as SessionData & { role: string }
    expect(expiresAtOf(loaded)).toBe(clock.now + HOUR)
    loaded.role = 'admin'
    await store.set('id', loaded)
    expect(expiresAtOf(await store.get('id'))).toBe(clock.now + MINUTE)
  })

  it('as long as the whole life allows, however often it is touched', async () => {
    const clock = new Clock()
    await using opened = await openStore(database(), { clock: clock.read, maxLifetimeSeconds: 7200, touchAfterMs: 0 })
    await opened.store.set('id', handMade({}, { expires: null }))
    for (let minutes = 0; minutes < 119; minutes += 30) {
      const loaded = (await opened.store.get('id')) as SessionData
      await opened.store.touch('id', loaded)
      clock.advance(30 * MINUTE)
    }
    expect(await opened.store.get('id')).toBeNull()
  })
})

describeStores('a touch', (kind) => {
  const database = shareDatabase(kind)

  async function touched(options: StoreOptions, moves: readonly number[], cookie: object) {
    const clock = new Clock()
    await using opened = await openStore(database(), { clock: clock.read, ...options })
    await opened.store.set('id', handMade({}, cookie))
    const counts: number[] = []
    for (const move of moves) {
      const loaded = (await opened.store.get('id')) as SessionData
      clock.advance(move)
      const before = statementsOf(opened.store)
      await opened.store.touch('id', loaded)
      counts.push(statementsOf(opened.store) - before)
    }
    return counts
  }

  it('costs a statement by default where it moves the expiry by a hundredth of the life', async () => {
    expect(await touched({ ttlSeconds: 3600 }, [0, 35_999, 1, 35_999, 40_000], { expires: null })).toEqual([0, 0, 1, 0, 1])
  })

  it('costs a statement by default at the latest after a minute', async () => {
    expect(await touched({ ttlSeconds: 30 * 86_400 }, [59_999, 60_000], { expires: null })).toEqual([0, 1])
  })

  it('costs always a statement where the life is short', async () => {
    expect(await touched({ ttlSeconds: 599 }, [0, 1], { expires: null })).toEqual([1, 1])
  })

  it('costs what touchAfterMs says', async () => {
    expect(await touched({ touchAfterMs: 0 }, [0, 0], { expires: null })).toEqual([1, 1])
    expect(await touched({ touchAfterMs: 5000 }, [4999, 5000], { expires: null })).toEqual([0, 1])
    expect(await touched({ touchAfterMs: Number.POSITIVE_INFINITY }, [HOUR], { expires: null })).toEqual([0])
  })

  it('of a session that was not loaded costs a statement', async () => {
    await using opened = await openStore(database())
    await opened.store.set('id', handMade())
    const before = statementsOf(opened.store)
    await opened.store.touch('id', handMade())
    expect(statementsOf(opened.store) - before).toBe(1)
  })

  it('without a cookie is a clear error', async () => {
    await using opened = await openStore(database())
    for (const wrong of [{}, null, undefined]) {
      await expect(opened.store.touch('id', wrong as SessionData)).rejects.toMatchObject({ code: 'ERR_SESSION_UNSERIALIZABLE' })
    }
  })
})

describe('over HTTP', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['Date'], now: Date.UTC(2024, 1, 29, 12) })
  })

  afterEach(() => {
    vi.useRealTimers()
  })

  const pass = (ms: number) => vi.setSystemTime(Date.now() + ms)

  async function site(store: KnexSessionStore, options: Partial<session.SessionOptions> = {}) {
    const app = express()
    app.use(session({ store, secret: 'secret', resave: false, saveUninitialized: false, ...options }))
    app.get('/login', (request, response) => {
      Object.assign(request.session, { user: 'ada' })
      response.send('welcome')
    })
    app.get('/', (request, response) => {
      const { user } = request.session as { user?: string }
      response.json({ user: user ?? null, cookie: request.session.cookie })
    })
    app.get('/remember/:ms', (request, response) => {
      // The type leaves out null, which makes it a browser session.
      request.session.cookie.maxAge = (request.params.ms === 'not' ? null : Number(request.params.ms)) as number
      response.send('done')
    })
    const served = await serve(app)
    return { served, visitor: new Visitor(served.url), [Symbol.asyncDispose]: () => served[Symbol.asyncDispose]() }
  }
  const user = async (visitor: Visitor) => (await visitor.json<{ user: string | null }>('/')).user

  describeStores('a session', (kind) => {
    const database = shareDatabase(kind)

    it('whose cookie ends with the browser lives for the ttl after each visit', async () => {
      await using opened = await openStore(database(), { ttlSeconds: 3600 })
      await using pages = await site(opened.store)
      const { visitor } = pages
      await visitor.text('/login')
      for (let visit = 0; visit < 4; visit++) {
        pass(50 * MINUTE)
        expect(await user(visitor)).toBe('ada')
      }
      pass(HOUR)
      expect(await user(visitor)).toBeNull()
    })

    it('lives for its maxAge after each visit, and originalMaxAge stays what it is', async () => {
      await using opened = await openStore(database())
      await using pages = await site(opened.store, { rolling: true, cookie: { maxAge: HOUR } })
      const { visitor } = pages
      await visitor.text('/login')
      for (let visit = 0; visit < 4; visit++) {
        pass(50 * MINUTE + 7)
        const page = await visitor.json<{ user: string; cookie: { originalMaxAge: number } }>('/')
        expect(page).toMatchObject({ user: 'ada', cookie: { originalMaxAge: HOUR } })
      }
      pass(HOUR)
      expect(await user(visitor)).toBeNull()
    })

    it('that is only read, and was touched a moment ago, costs one statement a request', async () => {
      await using opened = await openStore(database())
      await using pages = await site(opened.store, { cookie: { maxAge: HOUR } })
      const { visitor } = pages
      await visitor.text('/login')
      const before = statementsOf(opened.store)
      const statements = () => statementsOf(opened.store) - before
      for (let visit = 0; visit < 5; visit++) {
        pass(1000)
        await visitor.text('/')
      }
      expect(statements()).toBe(5)
      pass(32_000)
      await visitor.text('/')
      await until(() => statements() > 6)
      expect(statements()).toBe(7)
    })

    it.each([
      ['a longer maxAge', 10 * HOUR, 10 * HOUR],
      ['a shorter maxAge', MINUTE, MINUTE],
      ['no maxAge any more', 'not', 2 * HOUR]
    ])('is given %s by a request that changes nothing else', async (_what, ms, life) => {
      await using opened = await openStore(database(), { ttlSeconds: 7200 })
      await using pages = await site(opened.store, { cookie: { maxAge: HOUR } })
      const { visitor } = pages
      await visitor.text('/login')
      pass(MINUTE)
      await visitor.text(`/remember/${ms}`)
      const changedAt = Date.now()
      await until(async () => {
        const [row] = await opened.knex(opened.tableName).select('expires_at')
        return Number(row.expires_at) === changedAt + life
      })
      pass(life - 1)
      expect(await opened.store.length()).toBe(1)
      const page = await visitor.json<{ cookie: { originalMaxAge: number | null } }>('/')
      expect(page.cookie.originalMaxAge).toBe(ms === 'not' ? null : ms)
    })
  })
})

describeStores('a moment', (kind) => {
  it('is the same one in every time zone of process and server', async () => {
    await using database = await kind.open()
    const expiresAt = Date.now() + 1000
    const setZone = { sqlite: undefined, cockroach: undefined, postgres: 'SET TIME ZONE', mysql: 'SET time_zone =' }[kind.name]
    const write: Input = { config: database.config, setZone: setZone && `${setZone} '+13:00'`, expiresAt, does: 'write' }
    const written = await runProcess<Input, Output>(join(__dirname, 'time-zone.worker.mts'), write, { env: { TZ: 'Pacific/Kiritimati' } })
    expect(written.error).toBeUndefined()
    const read: Input = { ...write, setZone: setZone && `${setZone} '-11:00'`, does: 'read' }
    const { output, error } = await runProcess<Input, Output>(join(__dirname, 'time-zone.worker.mts'), read, {
      env: { TZ: 'Pacific/Pago_Pago' }
    })
    expect(error).toBeUndefined()
    expect(output).toEqual({ offset: 660, expires: expiresAt, atTheEnd: false, before: true, pruned: 1 })
  })
})
