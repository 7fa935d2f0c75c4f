import type { SessionData } from 'express-session'
import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { KnexSessionStore, StoreClosedError } from '../lib'
import { PATIENT } from './support/patience'
import { describeStores, handMade, openStore, StatementLog, shareDatabase } from './support/stores'

const userOf = (session: SessionData | null | undefined) => (session as { user?: unknown } | null | undefined)?.user

/** Lets everything run that waits for nothing but its turn. */
const settle = () => new Promise((resolve) => setImmediate(resolve))

describeStores('the constructor', (database) => {
  it('opens no connection, sends nothing, starts nothing and listens to nothing', async () => {
    await using opened = await database.open()
    const { knex } = opened
    await knex.raw('SELECT 1')
    const log = new StatementLog(knex)
    const state = () => {
      const { pool } = knex.client as { pool: { numUsed(): number; numFree(): number; numPendingAcquires(): number } }
      const listeners = [knex, knex.client].map((emitter) =>
        Object.fromEntries((emitter.eventNames() as string[]).map((event) => [event, emitter.listenerCount(event)]))
      )
      return {
        pool: [pool.numUsed(), pool.numFree(), pool.numPendingAcquires()],
        listeners,
        resources: process.getActiveResourcesInfo().filter((kind) => /^(Timeout|Immediate|TCP|FSReq|GetAddrInfo)/.test(kind))
      }
    }
    await settle()
    const before = state()
    const stores = Array.from({ length: 50 }, () => new KnexSessionStore({ knex }))
    expect(state()).toEqual(before)
    await settle()
    // A timer of the test runner may have ended meanwhile; one of ours would have been made.
    const { resources, ...rest } = state()
    expect({ ...rest, resources: before.resources }).toEqual(before)
    expect(resources.length).toBeLessThanOrEqual(before.resources.length)
    expect(log.statements).toEqual([])
    expect(stores).toHaveLength(50)
  })
})

describeStores('a store', (kind) => {
  const database = shareDatabase(kind)
  it('is awaited or called back, method by method', async () => {
    await using opened = await openStore(database(), { storedId: 'plain' })
    const { store } = opened
    const called = <T>(call: (callback: (error: unknown, value?: T) => void) => unknown) =>
      new Promise((resolve) => expect(call((...answer) => resolve(answer))).toBeUndefined())

    expect(await called((callback) => store.set('a', handMade({ user: 'ada' }), callback))).toEqual([null, undefined])
    expect(await store.set('b', handMade({ user: 'bob' }))).toBeUndefined()
    expect(await called((callback) => store.get('a', callback))).toEqual([null, expect.objectContaining({ user: 'ada' })])
    expect(userOf(await store.get('b'))).toBe('bob')
    expect(await called((callback) => store.length(callback))).toEqual([null, 2])
    expect(await store.length()).toBe(2)
    expect(await called((callback) => store.ids(callback))).toEqual([null, ['a', 'b']])
    expect(await store.ids()).toEqual(['a', 'b'])
    expect(await called((callback) => store.all(callback))).toEqual([null, [expect.objectContaining({ user: 'ada' }), expect.anything()]])
    expect((await store.all()).map(userOf)).toEqual(['ada', 'bob'])
    expect(await called((callback) => store.touch('a', handMade(), callback))).toEqual([null, undefined])
    expect(await store.touch('b', handMade())).toBeUndefined()
    expect(await called((callback) => store.destroy('a', callback))).toEqual([null, undefined])
    expect(await store.get('a')).toBeNull()
    expect(await store.destroy('b')).toBeUndefined()
    expect(await called((callback) => store.clear(callback))).toEqual([null, undefined])
    expect(await store.clear()).toBeUndefined()
    expect(await store.ready()).toBeUndefined()
    expect(await store.prune()).toBe(0)
    expect(await store.close()).toBeUndefined()
  })

  it.each([
    ['get', () => ['id'] as const],
    ['set', () => ['id', handMade()] as const],
    ['touch', () => ['id', handMade()] as const],
    ['destroy', () => ['id'] as const],
    ['all', () => [] as const],
    ['length', () => [] as const],
    ['ids', () => [] as const],
    ['clear', () => [] as const]
  ] as const)('%s calls back once, and not before it has returned', async (method, args) => {
    await using opened = await openStore(database())
    const callback = vi.fn()
    const call = opened.store[method] as (...args: unknown[]) => unknown
    expect(call.call(opened.store, ...args(), callback)).toBeUndefined()
    expect(callback).not.toHaveBeenCalled()
    await vi.waitUntil(() => callback.mock.calls.length > 0, PATIENT)
    await settle()
    expect(callback).toHaveBeenCalledTimes(1)
    expect(callback.mock.calls[0]?.[0]).toBeNull()
  })

  it('leaves out the expired and the destroyed where it tells of all', async () => {
    await using opened = await openStore(database(), { storedId: 'plain' })
    const { store } = opened
    for (const id of ['alive', 'destroyed', 'expired']) await store.set(id, handMade({ user: id }))
    await store.destroy('destroyed')
    await store.set('expired', handMade({ user: 'expired' }, { expires: new Date(Date.now() - 1) }))
    expect(await store.ids()).toEqual(['alive'])
    expect((await store.all()).map(userOf)).toEqual(['alive'])
    expect(await store.length()).toBe(1)
  })

  it('tells of thousands of sessions, and clears them', async () => {
    await using opened = await openStore(database(), { storedId: 'plain' })
    const { store } = opened
    const ids = Array.from({ length: 1100 }, (_, number) => `id ${String(number).padStart(4, '0')}`)
    await Promise.all(ids.map((id) => store.set(id, handMade({ user: id }))))
    expect(await store.ids()).toEqual(ids)
    expect((await store.all()).map(userOf)).toEqual(ids)
    expect(await store.length()).toBe(1100)
    await store.clear()
    expect([await store.length(), await store.ids(), await store.all()]).toEqual([0, [], []])
  })

  it('gives ids and sessions of a hashed store, but not the session ids', async () => {
    await using opened = await openStore(database())
    await opened.store.set('the session id', handMade({ user: 'ada' }))
    const ids = await opened.store.ids()
    expect(ids).toEqual([expect.stringMatching(/^[\w-]{43}$/)])
    expect(JSON.stringify([ids, await opened.store.all(), await opened.knex(opened.tableName)])).not.toContain('the session id')
  })

  it('refuses calls once it is closed, by callback and by promise', async () => {
    await using opened = await openStore(database())
    const { store } = opened
    await store.set('id', handMade())
    await store.close()
    await expect(store.get('id')).rejects.toEqual(new StoreClosedError('get'))
    const [error] = await new Promise<unknown[]>((resolve) => store.set('id', handMade(), (...answer) => resolve(answer)))
    expect(error).toEqual(new StoreClosedError('set'))
    await expect(store.ready()).rejects.toThrow(
      'session ready was called on a store that was closed; close the store last, after the server, or make a new KnexSessionStore'
    )
    await store.close()
  })

  it('answers the calls under way before it is closed', async () => {
    await using opened = await openStore(database())
    const { store } = opened
    const answers: string[] = []
    for (const id of ['a', 'b', 'c']) store.set(id, handMade(), () => answers.push(id))
    await store[Symbol.asyncDispose]()
    await settle()
    expect(answers.sort()).toEqual(['a', 'b', 'c'])
  })

  it('leaves the Knex open when it is closed, and its siblings working', async () => {
    await using opened = await openStore(database())
    const sibling = opened.another()
    await opened.store.set('id', handMade({ user: 'ada' }))
    await opened.store.close()
    expect(userOf(await sibling.get('id'))).toBe('ada')
    await opened.knex.raw('SELECT 1')
  })

  it('has its table when it is ready, and makes it but once', async () => {
    await using opened = await openStore(database())
    const log = new StatementLog(opened.knex)
    await Promise.all([opened.store.ready(), opened.store.ready(), opened.another().ready(), opened.store.get('id')])
    expect(log.statements.filter((sql) => /create table/i.test(sql))).toHaveLength(1)
    log.clear()
    await opened.another().ready()
    expect(log.statements).toEqual([])
  })

  it('writes in a transaction what is committed or rolled back with it', async () => {
    await using opened = await openStore(database())
    const { store, knex } = opened
    await store.set('id', handMade({ user: 'ada' }))
    const loaded = (await store.get('id')) as SessionData & { user: string }
    loaded.user = 'rolled back'
    const rolledBack = knex.transaction(async (trx) => {
      await store.withTransaction(trx).set('id', loaded)
      expect(userOf(await store.withTransaction(trx).get('id'))).toBe('rolled back')
      throw new TypeError('on purpose')
    })
    await expect(rolledBack).rejects.toThrow('on purpose')
    expect(userOf(await store.get('id'))).toBe('ada')

    const again = (await store.get('id')) as SessionData & { user: string }
    again.user = 'committed'
    await knex.transaction(async (trx) => store.withTransaction(trx).set('id', again))
    expect(userOf(await store.get('id'))).toBe('committed')
  })

  it('has in a transaction all options that it has outside', async () => {
    await using opened = await openStore(database(), {
      prefix: 'shop:',
      storedId: 'plain',
      columns: { data: 'sess' },
      ttlSeconds: 60,
      owner: () => 'ada',
      maxDataBytes: 100_000
    })
    const { store, knex } = opened
    await store.ready()
    await knex.transaction((trx) => store.withTransaction(trx).set('id', handMade({}, { expires: null })))
    const [row] = await knex(opened.tableName).select('id', 'sess', 'owner_id', 'expires_at')
    expect(row).toMatchObject({ id: 'shop:id', owner_id: 'ada' })
    expect(Number(row.expires_at)).toBeLessThanOrEqual(Date.now() + 60_000)
  })

  it('does not let a listener that throws fail the call', async () => {
    await using opened = await openStore(database())
    const { store, knex } = opened
    await store.set('id', handMade())
    await knex(opened.tableName).update({ data: 'broken' })
    store.on('unreadable', () => {
      throw new TypeError('thrown by a listener')
    })
    // From a turn of its own: within one of the test runner it would catch what is thrown.
    await settle()
    const uncaught = await uncaughtDuring(async () => {
      expect(await store.get('id')).toBeNull()
      await settle()
    })
    expect(uncaught).toEqual(['thrown by a listener'])
  })

  it('tells how it is', async () => {
    await using opened = await openStore(database())
    expect(await opened.store.health()).toMatchObject({ ok: true })
    await opened.knex.destroy()
    expect(await opened.store.health()).toMatchObject({
      ok: false,
      error: expect.objectContaining({ code: 'ERR_SESSION_DATABASE_UNREACHABLE' })
    })
    await opened.knex.initialize()
    expect(await opened.store.health()).toMatchObject({ ok: true })
  })
})

describe('session ids', () => {
  /** Any JavaScript string, with NUL and halves of surrogate pairs; some long, some alike. */
  const anyId = fc.oneof(
    fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 1, maxLength: 12 }).map((units) => String.fromCharCode(...units)),
    fc.string({ unit: 'grapheme', minLength: 1 }),
    fc.constantFrom(
      '',
      ' ',
      'a',
      'A',
      'á',
      'a\u0301',
      'a ',
      'a\0',
      '\0',
      '\ud800',
      '\udc00',
      '%',
      '_',
      "'",
      '"; DROP TABLE sessions',
      '__proto__',
      'x'.repeat(10_240),
      `${'x'.repeat(10_239)}y`
    )
  )

  describeStores('hashed', (kind) => {
    const database = shareDatabase(kind)
    it('may be any strings, and each keeps its own session', async () => {
      await using opened = await openStore(database())
      const { store } = opened
      await fc.assert(
        fc.asyncProperty(fc.uniqueArray(anyId, { maxLength: 12 }), async (ids) => {
          await store.clear()
          await Promise.all(ids.map((id, number) => store.set(id, handMade({ number }))))
          const loaded = await Promise.all(ids.map((id) => store.get(id)))
          expect(loaded.map((session) => (session as { number?: number } | null)?.number)).toEqual(ids.map((_id, number) => number))
          expect(await store.length()).toBe(ids.length)
          const [first, ...others] = ids
          if (first === undefined) return
          await store.destroy(first)
          expect(await store.get(first)).toBeNull()
          for (const id of others) expect(await store.get(id)).not.toBeNull()
        }),
        { numRuns: 12 }
      )
    })
  })

  describeStores('plain', (kind) => {
    const database = shareDatabase(kind)
    it('may be any strings that a column can hold, and the others are no session to read and a clear error to write', async () => {
      await using opened = await openStore(database(), { storedId: 'plain', prefix: 'p:' })
      const { store } = opened
      await fc.assert(
        fc.asyncProperty(fc.uniqueArray(anyId, { maxLength: 12 }), async (ids) => {
          await store.clear()
          const written = await Promise.allSettled(ids.map((id, number) => store.set(id, handMade({ number }))))
          for (const [number, id] of ids.entries()) {
            const outcome = written[number]
            const session = (await store.get(id)) as { number?: number } | null
            if (outcome?.status === 'fulfilled') expect(session?.number).toBe(number)
            else {
              expect(session).toBeNull()
              expect(outcome?.reason).toMatchObject({ code: 'ERR_SESSION_INVALID_ID' })
              await store.touch(id, handMade())
              await store.destroy(id)
            }
          }
          const stored = ids.filter((_id, number) => written[number]?.status === 'fulfilled')
          expect((await store.ids()).sort()).toEqual(stored.sort())
        }),
        { numRuns: 12 }
      )
    })
  })

  describeStores('that are no strings', (kind) => {
    const database = shareDatabase(kind)
    it.each(['hashed', 'plain'] as const)('are a clear error (%s)', async (storedId) => {
      await using opened = await openStore(database(), { storedId })
      for (const call of [
        opened.store.get(undefined as unknown as string),
        opened.store.set(null as unknown as string, handMade()),
        opened.store.touch(5 as unknown as string, handMade()),
        opened.store.destroy({} as unknown as string)
      ]) {
        await expect(call).rejects.toThrow(
          /^the session id cannot be stored: it must be a string, got (undefined|null|a number|an object);/
        )
      }
    })
  })
})

describeStores('two stores in one table', (kind) => {
  const database = shareDatabase(kind)
  const everything = async (store: KnexSessionStore) => ({
    ids: (await store.ids()).length,
    users: (await store.all()).map(userOf).sort(),
    length: await store.length()
  })

  it.each([
    ['shop:', 'blog:'],
    ['', 'blog:'],
    ['a', 'ab'],
    ['%', 'x'],
    ['_', 'x'],
    ['a%', 'ab'],
    ['\\', '\\\\'],
    ['A', 'a'],
    ['é', 'e'],
    ['😀', '😀😀'],
    ["'", '"']
  ])('with the prefixes %j and %j keep apart', async (onePrefix, otherPrefix) => {
    await using opened = await openStore(database(), { prefix: onePrefix })
    const one = opened.store
    const other = opened.another({ prefix: otherPrefix })
    await Promise.all([
      one.set('id', handMade({ user: 'one' })),
      one.set('second', handMade({ user: 'one more' })),
      other.set('id', handMade({ user: 'other' }))
    ])
    expect(await everything(one)).toEqual({ ids: 2, users: ['one', 'one more'], length: 2 })
    expect(await everything(other)).toEqual({ ids: 1, users: ['other'], length: 1 })
    expect(userOf(await one.get('id'))).toBe('one')
    expect(userOf(await other.get('id'))).toBe('other')
    await one.clear()
    expect(await everything(one)).toEqual({ ids: 0, users: [], length: 0 })
    expect(await everything(other)).toEqual({ ids: 1, users: ['other'], length: 1 })
  })

  it.each([
    ['', 'shop:'],
    ['shop:', 'shop:admin:'],
    ['shop:', 'shop-admin:'],
    ['😀:', '😀😀:']
  ])('with plain ids and the prefixes %j and %j keep apart', async (onePrefix, otherPrefix) => {
    await using opened = await openStore(database(), { prefix: onePrefix, storedId: 'plain' })
    const one = opened.store
    const other = opened.another({ prefix: otherPrefix, storedId: 'plain' })
    await one.set('id', handMade({ user: 'one' }))
    await other.set('root', handMade({ user: 'other' }))
    // What the other's row would be called here.
    const disguised = `${otherPrefix}root`.slice(onePrefix.length)
    expect(await one.get(disguised)).toBeNull()
    await one.destroy(disguised)
    await expect(one.set(disguised, handMade())).rejects.toMatchObject({ code: 'ERR_SESSION_INVALID_ID' })
    expect(await everything(one)).toEqual({ ids: 1, users: ['one'], length: 1 })
    await one.clear()
    expect(await everything(one)).toEqual({ ids: 0, users: [], length: 0 })
    expect(await everything(other)).toEqual({ ids: 1, users: ['other'], length: 1 })
  })

  it('with plain ids are refused a prefix that does not end with a colon', async () => {
    await using opened = await openStore(database())
    const message = 'prefix must be a string that ends with a colon, because the session id follows it as it is, got "shop" (string)'
    expect(() => opened.another({ prefix: 'shop', storedId: 'plain' })).toThrow(message)
    expect(() => opened.another({ prefix: 'shop', upgradePlainIds: true })).toThrow(message)
  })

  it("with plain ids can write nothing over the store's own row, by which processes agree who prunes", async () => {
    await using opened = await openStore(database(), { storedId: 'plain', pruneIntervalMs: 1 })
    const { store, knex } = opened
    await store.set('a', handMade())
    const own = async () =>
      (await knex(opened.tableName).where('id', 'like', 'knex-session-store:%').select('id')).map(({ id }) => id as string)
    while ((await own()).length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    for (const id of await own()) {
      await expect(store.set(id, handMade())).rejects.toMatchObject({ code: 'ERR_SESSION_INVALID_ID' })
      const prefix = 'knex-session-store:'
      const nearest = opened.another({ storedId: 'plain', prefix })
      await expect(nearest.set(id.slice(prefix.length), handMade())).rejects.toMatchObject({ code: 'ERR_SESSION_INVALID_ID' })
    }
  })
})

/** Messages of what nobody catches while `work` runs, taken before the test runner sees it. */
async function uncaughtDuring(work: () => Promise<void>): Promise<string[]> {
  const uncaught: string[] = []
  process.setUncaughtExceptionCaptureCallback((error) => uncaught.push(error.message))
  try {
    await work()
  } finally {
    process.setUncaughtExceptionCaptureCallback(null)
  }
  return uncaught
}
