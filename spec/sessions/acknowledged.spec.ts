import type { SessionData } from 'express-session'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { KnexSessionStore, SessionCodec } from '../../lib'
import { describeStores, handMade, openStore, shareDatabase } from '../support/stores'

const HOUR = 3_600_000
const unserializable = (message: string) =>
  expect.objectContaining({ code: 'ERR_SESSION_UNSERIALIZABLE', message: expect.stringContaining(message) })

/** What `set` answers: undefined, or its error. */
const outcomeOf = (store: KnexSessionStore, id: string, session: unknown) =>
  store.set(id, session as SessionData).then(
    () => undefined,
    (error: unknown) => error
  )

/** What `get` gives of a session that was set and is alive: what JSON would, with the moment of expiry as the row has it. */
function normalised(session: SessionData, found: SessionData): unknown {
  const plain = JSON.parse(JSON.stringify(session))
  const { expires } = found.cookie as { expires?: unknown }
  // Whether it is the right one is for the specs of expiry to say.
  plain.cookie = { ...plain.cookie, expires }
  delete plain.cookie.originalExpires
  return plain
}

describeStores('a session that set acknowledges', (kind) => {
  const database = shareDatabase(kind)

  it.each([
    ['expires as a number', { expires: Date.now() + HOUR }],
    ['expires as a text', { expires: new Date(Date.now() + HOUR).toISOString() }],
    ['expires that only JSON calls a Date', { expires: JSON.parse(JSON.stringify({ at: new Date(Date.now() + HOUR) })).at }],
    ['maxAge alone', { maxAge: HOUR }],
    ['an empty cookie', {}],
    ['no life in words of old', { expires: false, maxAge: '', originalMaxAge: false }],
    ['a life without end', { maxAge: Number.POSITIVE_INFINITY, originalMaxAge: Number.POSITIVE_INFINITY }],
    ['a cookie of no prototype', Object.assign(Object.create(null), { path: '/' })]
  ])('comes back: with %s', async (_what, cookie) => {
    await using opened = await openStore(database())
    const session = handMade({ user: 'ada' }, cookie)
    expect(await outcomeOf(opened.store, 'id', session)).toBeUndefined()
    const found = (await opened.store.get('id')) as SessionData
    expect(found).toEqual(normalised(session, found))
  })

  it.each([
    ['no cookie', { user: 'secret' }, 'it has no cookie object'],
    ['a list for a cookie', { cookie: [] }, 'it has no cookie object'],
    ['maxAge as a text', { cookie: { maxAge: '60000' } }, "its cookie's maxAge must be a number of milliseconds or null, got a string"],
    ['maxAge as a Date', { cookie: { maxAge: new Date() } }, "its cookie's maxAge must be a number of milliseconds or null, got an object"],
    ['maxAge that is no number', { cookie: { maxAge: Number.NaN } }, "its cookie's maxAge must be a number of milliseconds or null, got"],
    ['originalMaxAge as a text', { cookie: { originalMaxAge: 'abc' } }, "its cookie's originalMaxAge must be a number of milliseconds"],
    ['originalMaxAge as a bigint', { cookie: { originalMaxAge: 60_000n } }, "its cookie's originalMaxAge must be a number of milliseconds"],
    ['expires that is no moment', { cookie: { expires: 'never' } }, "its cookie's expires must be a Date, the text of one"],
    ['an invalid Date', { cookie: { expires: new Date('never') } }, 'got an invalid Date'],
    ['expires as true', { cookie: { expires: true } }, 'got a boolean'],
    ['expires as an object', { cookie: { expires: {} } }, 'got an object'],
    ['expires as an object without a value', { cookie: { expires: Object.create(null) } }, 'got an object'],
    ['expires as a bigint', { cookie: { expires: 5n } }, 'got a bigint']
  ])('is not one with %s: that is refused, and what was stored stays', async (_what, session, message) => {
    await using opened = await openStore(database())
    await opened.store.set('id', handMade({ user: 'ada' }))
    const error = await outcomeOf(opened.store, 'id', session)
    expect(error).toEqual(unserializable(message))
    expect((error as Error).message).not.toContain('secret')
    expect(await opened.store.get('id')).toMatchObject({ user: 'ada' })
  })

  it.each([
    ['maxAge as a text', { maxAge: '60000' }],
    ['originalMaxAge as a text', { originalMaxAge: 'abc' }],
    ['expires that is no moment', { expires: 'never' }],
    ['an invalid Date', { expires: new Date('never') }],
    ['expires as an object', { expires: {} }],
    ['expires as a number that is none', { expires: Number.NaN }]
  ])('is not touched with %s: that is refused, and it lives as long as before', async (_what, cookie) => {
    await using opened = await openStore(database(), { touchAfterMs: 0 })
    await opened.store.set('id', handMade({ user: 'ada' }, { expires: new Date(Date.now() + HOUR / 2) }))
    const before = await opened.store.get('id')
    const error = await opened.store.touch('id', handMade({ user: 'ada' }, cookie) as SessionData).catch((reason: unknown) => reason)
    expect(error).toEqual(unserializable("its cookie's"))
    expect((await opened.store.get('id'))?.cookie.expires).toEqual(before?.cookie.expires)
  })

  it('comes back, whatever it is', { timeout: 60_000 }, async () => {
    await using opened = await openStore(database())
    const { store } = opened
    const odd = fc.oneof(
      fc.constantFrom(null, undefined, '', 'abc', '60000', 0, -1, 1, Number.NaN, Number.POSITIVE_INFINITY, true, false, 5n, {}, []),
      fc.integer(),
      fc.double(),
      fc.date({ noInvalidDate: false })
    )
    const alive = fc.integer({ min: HOUR, max: 100 * HOUR })
    const cookie = fc.oneof(
      fc.record({ expires: odd, maxAge: odd, originalMaxAge: odd, path: fc.string() }, { requiredKeys: [] }),
      fc.record(
        { expires: alive.map((ms) => Date.now() + ms), originalMaxAge: fc.option(alive), secure: fc.boolean() },
        { requiredKeys: [] }
      ),
      odd
    )
    const session = fc
      .tuple(fc.dictionary(fc.string({ unit: 'binary' }), fc.oneof(fc.jsonValue(), odd)), fc.oneof({ weight: 9, arbitrary: cookie }, odd))
      .map(([data, its]) => ({ ...data, cookie: its }))
    let acknowledged = 0
    await fc.assert(
      fc.asyncProperty(session, async (given) => {
        const before = Date.now()
        const error = await outcomeOf(store, 'id', given)
        const found = await store.get('id')
        if (error !== undefined) {
          expect(error).toEqual(unserializable(''))
          return
        }
        acknowledged++
        const { expires, maxAge } = given.cookie as { expires?: unknown; maxAge?: unknown }
        const moment = expires === null || expires === undefined ? before + Number(maxAge ?? HOUR) : new Date(expires as number).getTime()
        // It is over, and says so by itself.
        if (found === null) expect(moment).toBeLessThanOrEqual(Date.now())
        else expect(found).toEqual(normalised(given as never, found))
        await store.destroy('id')
      }),
      { numRuns: 300 }
    )
    expect(acknowledged).toBeGreaterThan(50)
  })
})

describeStores('the owner of a session', (kind) => {
  const database = shareDatabase(kind)
  const ownedBy = (owner: unknown) => ({ owner: () => owner as string })

  it.each([
    ['a text', 'ada', 'ada'],
    ['a number', 7, '7'],
    ['a number that is not whole', 0.5, '0.5'],
    ['a bigint', 9_007_199_254_740_993n, '9007199254740993'],
    ['null', null, null],
    ['undefined', undefined, null],
    ['an empty text', '', null]
  ])('may be %s, and is stored as text', async (_what, owner, stored) => {
    await using opened = await openStore(database(), ownedBy(owner))
    await opened.store.set('id', handMade())
    expect((await opened.knex(opened.tableName).where('owner_id', stored).select('owner_id'))[0]).toEqual({ owner_id: stored })
  })

  it.each([
    ['an object', { id: 7 }, 'an object'],
    ['a list', [7], 'an array'],
    ['a promise', Promise.resolve('ada'), 'an object'],
    ['NaN', Number.NaN, 'NaN'],
    ['Infinity', Number.POSITIVE_INFINITY, 'Infinity'],
    ['a boolean', true, 'a boolean'],
    ['a function', () => 'ada', 'a function'],
    ['a symbol', Symbol('ada'), 'a symbol'],
    ['a String object', new String('ada'), 'an object']
  ])('is not %s: that is refused, and nothing is stored', async (_what, owner, given) => {
    await using opened = await openStore(database(), ownedBy(owner))
    const error = await outcomeOf(opened.store, 'id', handMade())
    expect(error).toEqual(
      unserializable(`the option owner must return a string, a finite number, a bigint, null or undefined, got ${given}`)
    )
    expect(await opened.store.get('id')).toBeNull()
  })
})

describeStores('what an async codec is given', (kind) => {
  const later = () => new Promise((resolve) => setImmediate(resolve))
  const codecs: Record<string, SessionCodec> = {
    'that reads at once': { encode: async (data) => JSON.stringify(data), decode: (text) => JSON.parse(text) },
    'that reads later': {
      async encode(data) {
        await later()
        return JSON.stringify(data)
      },
      decode: (text) => JSON.parse(text)
    },
    'that reads later, with a text to compare by': {
      async encode(data) {
        await later()
        return JSON.stringify(data)
      },
      decode: (text) => JSON.parse(text),
      comparable: (data) => JSON.stringify(data)
    }
  }

  for (const [which, codec] of Object.entries(codecs)) {
    it(`is the session as it was when save was called: a codec ${which}`, async () => {
      await using opened = await openStore(kind, { codec })
      const { store } = opened
      const nested = { list: ['book'], map: new Map([['a', ['b']]]), set: new Set(), at: new Date(0), self: {} as object }
      await store.set('id', handMade({ cart: [] as string[], nested }))
      const loaded = (await store.get('id')) as SessionData & { cart: string[]; nested: typeof nested }
      loaded.cart.push('book')
      const first = store.set('id', loaded)
      loaded.cart.push('pen')
      loaded.nested.list.push('pen')
      const second = store.set('id', loaded)
      loaded.cart.push('not asked for')
      loaded.nested.list.length = 0
      loaded.cookie.path = '/not-asked-for'
      await first
      await second
      expect(await store.get('id')).toMatchObject({ cart: ['book', 'pen'], nested: { list: ['book', 'pen'] } })
      expect((await store.get('id'))?.cookie.path).toBeUndefined()
    })
  }
})

describe('the snapshot for an async codec', () => {
  describeStores('of dates, maps, sets and circles', (kind) => {
    it('is a copy, and leaves the session as it is', async () => {
      const seen: Record<string, unknown>[] = []
      const codec: SessionCodec = {
        async encode(data) {
          await null
          seen.push(data as never)
          return '{"cookie":{}}'
        },
        decode: (text) => JSON.parse(text)
      }
      await using opened = await openStore(kind, { codec })
      class Money {
        constructor(public amount: number) {}
      }
      const data = {
        at: new Date(0),
        map: new Map([['a', { b: 1 }]]),
        set: new Set([1]),
        money: new Money(5),
        circle: {} as { self?: object }
      }
      data.circle.self = data.circle
      const session = handMade({ ...data, ['__proto__' as string]: 1 })
      const writing = opened.store.set('id', session)
      data.at.setTime(5)
      ;(data.map.get('a') as { b: number }).b = 2
      data.set.add(2)
      await writing
      const circle = seen[0]?.circle as { self: object } | undefined
      expect(circle?.self).toBe(circle)
      expect(seen[0]).toMatchObject({ circle: expect.anything(), at: new Date(0), map: new Map([['a', { b: 1 }]]), set: new Set([1]) })
      expect(seen[0]?.money).toBe(data.money)
      expect((session as unknown as typeof data).map).toBe(data.map)
    })
  })
})
