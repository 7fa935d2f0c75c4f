import { promisify } from 'node:util'
import type { SessionData } from 'express-session'
import { describe, expect, it } from 'vitest'
import { encrypted, type KnexSessionStore, type SessionCodec } from '../../lib'
import { reset } from '../../lib/testing'
import { describeStores, handMade, type OpenStore, openStore, type StoreOptions, shareDatabase } from '../support/stores'

type Data = SessionData & Record<string, unknown>

/** A session as a client makes it of what it loaded: by a class of its own, with a cookie of its own. */
class ClientSession {
  readonly cookie = { originalMaxAge: 86_400_000, maxAge: 86_400_000 }

  constructor(loaded: object) {
    for (const [key, value] of Object.entries(loaded)) if (key !== 'cookie') Object.assign(this, { [key]: value })
  }
}

/** How clients copy what `get` gave, from what shares the most with it to what shares nothing. */
const COPIES: Record<string, (loaded: Data) => Data> = {
  'by spreading': (loaded) => ({ ...loaded }),
  'with a cookie of its own': ({ cookie: _cookie, ...data }) => handMade(data) as Data,
  'into a class of its own': (loaded) => new ClientSession(loaded) as unknown as Data,
  'through JSON': (loaded) => JSON.parse(JSON.stringify(loaded)),
  'by structuredClone': (loaded) => structuredClone(loaded)
}

/** What the store reported, a turn later. */
async function eventsOf(store: KnexSessionStore) {
  await new Promise((resolve) => setImmediate(resolve))
  return store.stats().events
}

/** Two requests at once: each in an async context of its own, as HTTP has them. Both have loaded the session before either writes. */
async function atOnce(store: KnexSessionStore, copy: (loaded: Data) => Data, changes: readonly ((copied: Data) => void)[]): Promise<void> {
  const loaded = Promise.withResolvers<void>()
  let missing = changes.length
  const request = async (change: (copied: Data) => void) => {
    const copied = copy((await store.get('id')) as Data)
    if (--missing === 0) loaded.resolve()
    await loaded.promise
    change(copied)
    await store.set('id', copied)
  }
  await Promise.all(
    changes.map(async (change) => {
      await null
      await request(change)
    })
  )
}

const set = (key: string, value: unknown) => (copied: Data) => void Object.assign(copied, { [key]: value })

describeStores('a copy of what was loaded', (kind) => {
  const database = shareDatabase(kind)

  for (const [how, copy] of Object.entries(COPIES)) {
    describe(how, () => {
      for (const [what, more] of Object.entries({ small: {}, large: { text: 'x'.repeat(20_000) }, nested: { user: { name: 'ada' } } })) {
        it(`loses no update of another request: a session that is ${what}`, async () => {
          await using opened = await openStore(database())
          const { store } = opened
          await store.set('id', handMade({ a: 1, b: 1, gone: 1, ...more }))
          await atOnce(store, copy, [
            (copied) => {
              set('mine', 1)(copied)
              delete copied.gone
            },
            set('theirs', 2)
          ])
          const { cookie: _cookie, ...data } = (await store.get('id')) as Data
          expect(data).toEqual({ a: 1, b: 1, ...more, mine: 1, theirs: 2 })
          expect(await eventsOf(store)).toEqual({})
        })
      }

      it.each([
        ['destroy', ({ store }: OpenStore) => store.destroy('id')],
        ['clear', ({ store }: OpenStore) => store.clear()],
        ['DELETE by SQL', ({ knex, tableName }: OpenStore) => knex(tableName).delete()],
        ['UPDATE by SQL', ({ knex, tableName }: OpenStore) => knex(tableName).update({ expires_at: 0 })]
      ])('does not rise after %s by another request', async (_how, end) => {
        await using opened = await openStore(database())
        const { store } = opened
        await store.set('id', handMade({ user: 'ada' }))
        const slow = Promise.withResolvers<void>()
        const entered = Promise.withResolvers<void>()
        const request = (async () => {
          await null
          const copied = copy((await store.get('id')) as Data)
          entered.resolve()
          await slow.promise
          await store.set('id', Object.assign(copied, { changed: true }))
        })()
        await entered.promise
        await end(opened)
        slow.resolve()
        await request
        expect(await store.get('id')).toBeNull()
        expect(await eventsOf(store)).toEqual({ dropped: 1 })
      })

      it('is known again after it was saved: what it then deletes is deleted', async () => {
        await using opened = await openStore(database())
        const { store } = opened
        await store.set('id', handMade({ a: 1, text: 'x'.repeat(5000) }))
        await (async () => {
          const loaded = (await store.get('id')) as Data
          await store.set('id', Object.assign(copy(loaded), { step: 1 }))
          const again = copy(loaded)
          delete again.a
          await store.set('id', again)
        })()
        const { cookie: _cookie, text: _text, ...data } = (await store.get('id')) as Data
        expect(data).toEqual({})
      })
    })
  }

  it('without a change writes no data, and a cookie of another moment is no change', async () => {
    await using opened = await openStore(database())
    const { store, knex, tableName } = opened
    for (const text of ['', 'x'.repeat(20_000)]) {
      await store.set('id', handMade({ text }))
      const { revision } = (await knex(tableName))[0]
      const cookie = { originalMaxAge: 86_400_000, expires: new Date(Date.now() + 90_000_000), originalExpires: new Date() }
      const loaded = (await store.get('id')) as Data
      await store.set('id', new ClientSession(Object.assign(loaded, { cookie })) as never)
      expect((await knex(tableName))[0].revision).toBe(revision)
    }
  })

  it.each<[string, StoreOptions]>([
    ['with a codec that is async', { codec: slowly({ encode: (data) => JSON.stringify(data), decode: (text) => JSON.parse(text) }) }],
    ['with a codec whose texts are never the same', { codec: encrypted({ keys: ['a key of more than thirty-two characters'] }) }],
    ['with ids as they are', { storedId: 'plain' }],
    ['with each call a statement of its own', { batch: false }]
  ])('is known %s', async (_how, options) => {
    await using opened = await openStore(database(), options)
    for (const text of ['', 'x'.repeat(20_000)]) {
      await opened.store.set('id', handMade({ text }))
      await atOnce(opened.store, (loaded) => new ClientSession(loaded) as never, [set('mine', 1), set('theirs', 2)])
      expect(await opened.store.get('id')).toMatchObject({ mine: 1, theirs: 2 })
    }
  })

  it('is known by what JSON cannot tell apart, with a codec that can', async () => {
    const codec: SessionCodec = {
      encode: (data) => JSON.stringify(data, (_key, value) => (value instanceof Map ? { map: [...value] } : value)),
      decode: (text) => JSON.parse(text, (_key, value) => (Array.isArray(value?.map) ? new Map(value.map) : value))
    }
    await using opened = await openStore(database(), { codec })
    const { store } = opened
    await store.set('id', handMade({ cart: new Map([['book', 1]]), text: 'x'.repeat(5000) }))
    await atOnce(store, (loaded) => new ClientSession(loaded) as never, [set('cart', new Map([['pen', 2]])), set('theirs', 2)])
    expect(await store.get('id')).toMatchObject({ cart: new Map([['pen', 2]]), theirs: 2 })
  })

  it('with too many keys to be merged is an error, and no lost update', async () => {
    await using opened = await openStore(database())
    const { store } = opened
    await store.set('id', handMade(Object.fromEntries(Array.from({ length: 300 }, (_, number) => [`key ${number}`, 'x'.repeat(20)]))))
    const outcome = await atOnce(store, (loaded) => new ClientSession(loaded) as never, [set('mine', 1), set('theirs', 2)]).catch(
      (error) => error
    )
    expect(outcome).toMatchObject({ code: 'ERR_SESSION_CONFLICT', message: expect.stringContaining('too many keys') })
    expect(Object.keys((await store.get('id')) as Data)).toHaveLength(302)
  })

  it('is of the session it was loaded from: under another id it is new', async () => {
    await using opened = await openStore(database())
    const { store } = opened
    await store.set('id', handMade({ user: { name: 'ada' } }))
    const loaded = (await store.get('id')) as Data
    await store.destroy('id')
    await store.set('other', { ...loaded })
    expect(await store.get('other')).toMatchObject({ user: { name: 'ada' } })
  })

  it('stands for the latest load, where parts of several are in it', async () => {
    await using opened = await openStore(database())
    const { store } = opened
    await store.set('id', handMade({ user: { name: 'ada' }, a: 1 }))
    const old = (await store.get('id')) as Data
    await store.set('id', Object.assign((await store.get('id')) as Data, { a: 2 }))
    const { cookie: _cookie, ...fresh } = (await store.get('id')) as Data
    await store.set('id', handMade({ ...fresh, previous: old.user, mine: 1 }))
    expect(await store.get('id')).toMatchObject({ a: 2, mine: 1 })
    expect(await eventsOf(store)).toEqual({})
  })

  it('is known by a promise of the callback, whatever took the method off its store', async () => {
    await using opened = await openStore(database())
    const get = promisify(opened.store.get as (id: string, callback: (error: unknown, found?: Data | null) => void) => void)
    const { set: write, destroy, touch } = opened.store
    await write('id', handMade({ a: 1 }))
    const [mine, theirs] = [(await get('id')) as Data, (await get('id')) as Data]
    await promisify(write)('id', { ...mine, mine: 1 } as never)
    await write('id', { ...theirs, theirs: 1 } as never)
    await touch('id', theirs)
    expect(await get('id')).toMatchObject({ a: 1, mine: 1, theirs: 1 })
    const { all, ids, length, clear } = opened.store
    expect([(await all()).length, (await ids()).length, await length()]).toEqual([1, 1, 1])
    await destroy('id')
    await clear()
    expect(await get('id')).toBeNull()
  })

  it('is written in a transaction, by the store that is in it', async () => {
    await using opened = await openStore(database())
    const { store, knex } = opened
    await store.set('id', handMade({ a: 1 }))
    const copied = new ClientSession((await store.get('id')) as Data)
    await (async () => {
      await null
      await store.set('id', Object.assign((await store.get('id')) as Data, { theirs: 1 }))
    })()
    await knex.transaction(async (trx) => {
      await store.withTransaction(trx).set('id', Object.assign(copied, { mine: 1 }) as never)
    })
    expect(await store.get('id')).toMatchObject({ a: 1, theirs: 1, mine: 1 })
  })

  it('is nothing to the store where trackLoads is false', async () => {
    await using opened = await openStore(database(), { trackLoads: false })
    const { store } = opened
    await store.set('id', handMade({ a: 1 }))
    await atOnce(store, (loaded) => ({ ...loaded }), [set('mine', 1), set('theirs', 2)])
    const { cookie: _cookie, ...data } = (await store.get('id')) as Data
    expect(Object.keys(data)).toHaveLength(2)
  })
})

describeStores('what express-openid-connect sets', (kind) => {
  const envelope = (data: object, uat: number) =>
    ({ header: { iat: 1, uat, exp: 2_000_000_000 }, data, cookie: { expires: Date.now() + 3_600_000, maxAge: 3_600_000 - uat } }) as never

  it.each([
    ['small', ''],
    ['large', 'x'.repeat(20_000)]
  ])('is merged by the keys of the session inside it: a session that is %s', async (_size, text) => {
    await using opened = await openStore(kind)
    const { store } = opened
    await store.set('id', envelope({ user: 'ada', a: 1, gone: 1, text }, 1))
    const load = async () => ((await store.get('id')) as unknown as { data: Record<string, unknown> }).data
    const [mine, theirs] = [await load(), await load()]
    Object.assign(mine, { cart: 1, a: 2 })
    delete mine.gone
    Object.assign(theirs, { language: 2, a: 3 })
    const conflicts: unknown[] = []
    store.on('conflict', (event) => conflicts.push(event))
    await store.set('id', envelope(theirs, 2))
    await store.set('id', envelope(mine, 3))
    expect(await load()).toEqual({ user: 'ada', a: 2, cart: 1, language: 2, text })
    await new Promise((resolve) => setImmediate(resolve))
    expect(conflicts).toEqual([{ policy: 'merge', keys: ['a'] }])
  })
})

describeStores('a session that was only set by hand', (kind) => {
  const database = shareDatabase(kind)
  const WIPES: Record<string, (opened: OpenStore) => Promise<unknown>> = {
    'destroy()': ({ store }) => store.destroy('id'),
    'clear()': ({ store }) => store.clear(),
    DELETE: ({ knex, tableName }) => knex(tableName).delete(),
    TRUNCATE: ({ knex, tableName }) => knex(tableName).truncate(),
    'reset()': ({ store }) => reset(store),
    'DROP TABLE': ({ knex, tableName }) => knex.schema.dropTable(tableName)
  }

  it.each(Object.entries(WIPES))('is stored again after %s', async (_how, wipe) => {
    await using opened = await openStore(database())
    const { store } = opened
    const fixture = handMade({ user: 'ada' }) as Data
    await store.set('id', fixture)
    await wipe(opened)
    await store.set('id', fixture)
    expect(await store.get('id')).toMatchObject({ user: 'ada' })
    await wipe(opened)
    fixture.user = 'bob'
    await store.set('id', fixture)
    expect(await store.get('id')).toMatchObject({ user: 'bob' })
    expect(await eventsOf(store)).toEqual({})
  })

  it('is not replaced by what a touch is given, of which the cookie alone counts', async () => {
    await using opened = await openStore(database())
    const { store } = opened
    await store.set('id', handMade({ user: 'ada' }))
    const loaded = (await store.get('id')) as Data
    const cookie = Object.assign(loaded.cookie, { originalMaxAge: 99_999_999, expires: new Date(Date.now() + 99_999_999) })
    const bare = { cookie } as SessionData
    for (let time = 0; time < 2; time++) await store.touch('id', bare)
    await store.touch('id', handMade({}, { originalMaxAge: 99_999_998, maxAge: 99_999_998 }))
    expect(await store.get('id')).toMatchObject({ user: 'ada' })
  })

  it('does not rise by a touch', async () => {
    await using opened = await openStore(database())
    const fixture = handMade({ user: 'ada' })
    await opened.store.set('id', fixture)
    await opened.knex(opened.tableName).delete()
    await opened.store.touch('id', Object.assign(fixture, { cookie: { originalMaxAge: 90_000_000, maxAge: 90_000_000 } }))
    await opened.store.touch('id', fixture)
    expect(await opened.store.get('id')).toBeNull()
  })

  it('stays dead as the session of a client that was saved, ended elsewhere, and saved again', async () => {
    await using opened = await openStore(database())
    const elsewhere = opened.another()
    for (const [number, session] of [new ClientSession({ user: 'ada' }), opened.store.createSession({} as never, handMade())].entries()) {
      await opened.store.set(`${number}`, session as never)
      await elsewhere.destroy(`${number}`)
      await opened.store.set(`${number}`, Object.assign(session, { changed: true }) as never)
      expect(await opened.store.get(`${number}`)).toBeNull()
    }
  })
})

describeStores('the async context', (kind) => {
  const database = shareDatabase(kind)

  it.each([
    ['destroy', (store: KnexSessionStore) => store.destroy('id')],
    ['clear', (store: KnexSessionStore) => store.clear()]
  ])('forgets what was loaded in it at %s: what is set next is another session', async (_how, end) => {
    await using opened = await openStore(database())
    await opened.store.set('id', handMade({ user: 'ada' }))
    await opened.store.get('id')
    await end(opened.store)
    await opened.store.set('id', handMade({ user: 'bob' }))
    expect(await opened.store.get('id')).toMatchObject({ user: 'bob' })
  })

  it('forgets what was loaded in it when nothing is found', async () => {
    await using opened = await openStore(database())
    await opened.store.set('id', handMade({ user: 'ada' }))
    await opened.store.get('id')
    await opened.knex(opened.tableName).delete()
    expect(await opened.store.get('id')).toBeNull()
    await opened.store.set('id', handMade({ user: 'bob' }))
    expect(await opened.store.get('id')).toMatchObject({ user: 'bob' })
  })

  it('keeps a session ended that was wiped by SQL after it was loaded, until reset() forgets all', async () => {
    await using opened = await openStore(database())
    const { store, knex, tableName } = opened
    await store.set('id', handMade({ user: 'ada' }))
    const loaded = (await store.get('id')) as Data
    await knex(tableName).delete()
    await store.set('id', handMade({ user: 'bob' }))
    await store.set('id', loaded)
    expect(await knex(tableName)).toEqual([])
    await reset(store)
    await store.set('id', handMade({ user: 'bob' }))
    await store.set('id', loaded)
    expect(await store.get('id')).toMatchObject({ user: 'ada' })
  })

  it('of one request knows nothing of what another has loaded since', async () => {
    await using opened = await openStore(database())
    const { store } = opened
    await store.set('id', handMade({ a: 1 }))
    // Both begin in the same context, which has loaded the session too.
    await store.get('id')
    await atOnce(store, (loaded) => new ClientSession(loaded) as never, [set('mine', 1), set('theirs', 2)])
    expect(await store.get('id')).toMatchObject({ a: 1, mine: 1, theirs: 2 })
  })

  it('is not used by a store of express-session', async () => {
    await using opened = await openStore(database())
    const { store } = opened
    Object.assign(store, { generate: () => undefined })
    await store.set('id', handMade({ user: 'ada' }))
    await store.get('id')
    await opened.knex(opened.tableName).delete()
    await store.set('id', handMade({ user: 'bob' }))
    expect(await store.get('id')).toMatchObject({ user: 'bob' })
  })
})

describeStores('reset()', (kind) => {
  it('deletes the rows of every prefix, and is known to every store of the table', async () => {
    await using opened = await openStore(kind)
    const other = opened.another({ prefix: 'other:' })
    await other.set('id', handMade({ user: 'ada' }))
    await opened.store.set('id', handMade({ user: 'ada' }))
    const loaded = (await other.get('id')) as SessionData
    await opened.store.destroy('id')
    await reset(opened.store)
    expect(await opened.knex(opened.tableName)).toEqual([])
    await other.set('id', loaded)
    expect(await other.get('id')).toMatchObject({ user: 'ada' })
  })
})

function slowly({ encode, decode }: SessionCodec): SessionCodec {
  const later = () => new Promise((resolve) => setImmediate(resolve))
  return {
    encode: async (data, storedId) => {
      await later()
      return encode(data, storedId)
    },
    decode: async (text, storedId) => {
      await later()
      return decode(text, storedId)
    }
  }
}
