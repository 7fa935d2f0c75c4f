import { setImmediate as nextTurn } from 'node:timers/promises'
import type { SessionData } from 'express-session'
import type { Knex } from 'knex'
import { expect, it } from 'vitest'
import { encrypted, type KnexSessionStore } from '../../lib'
import { ScriptedSite, visit } from '../concurrency/scripted-site'
import { type Database, describeDatabases } from '../support/databases'
import { Clock, handMade, type OpenStore, openStore, type StoreOptions } from '../support/stores'

const KEY = 'a key of thirty-two characters or more'

interface Upgrade extends OpenStore {
  /** As it was until now. */
  readonly plain: KnexSessionStore
}

/** A table with sessions under their plain ids, and a store that moves them. */
async function openUpgrade(kind: Database, options: StoreOptions = {}): Promise<Upgrade> {
  const opened = await openStore(kind, { upgradePlainIds: true, ...options })
  const { upgradePlainIds: _, codec: __, ...before } = options
  return Object.assign(opened, { plain: opened.another({ ...before, storedId: 'plain' }) })
}

const idsOf = async (knex: Knex, alive = true): Promise<string[]> => {
  const rows = (await knex('sessions')
    .where('expires_at', alive ? '>' : '<=', 1_000_000)
    .select('id')) as { id: string }[]
  return rows.map(({ id }) => id)
}
const change = async (store: KnexSessionStore, id: string, data: object) => {
  const session = (await store.get(id)) as SessionData
  await store.set(id, Object.assign(session, data))
}

describeDatabases('a session under its plain id', (database) => {
  it('is found, and from then on under its hash alone', async () => {
    await using opened = await openUpgrade(database)
    const { store, plain, knex } = opened
    await plain.set('id', handMade({ user: 'ada' }))
    expect(await store.get('id')).toMatchObject({ user: 'ada' })
    const [id, ...others] = await idsOf(knex)
    expect(id).toMatch(/^[\w-]{43}$/)
    expect(others).toEqual([])
    expect(await store.get('id')).toMatchObject({ user: 'ada' })
    expect(await plain.get('id')).toBeNull()
  })

  it('keeps its life, its beginning, its owner and its data, and its plain row goes with the next pruning', async () => {
    const owner = (session: Partial<SessionData>) => (session as { user?: string }).user
    await using opened = await openUpgrade(database, { owner, prefix: 'app:' })
    const { store, plain, knex } = opened
    await plain.set('id', handMade({ user: 'ada' }))
    const columns = ['data', 'expires_at', 'expires_hour', 'owner_id', 'created_at']
    const before = await knex('sessions').select(columns)
    await store.get('id')
    expect(await knex('sessions').where('expires_at', '>', 0).select(columns)).toEqual(before)
    expect(await store.prune()).toBe(1)
    expect(await knex('sessions').count({ count: '*' })).toMatchObject([{ count: expect.toSatisfy((count) => Number(count) === 1) }])
  })

  it('is changed and touched after it was found, as any other', async () => {
    await using opened = await openUpgrade(database, { touchAfterMs: 0 })
    const { store, plain } = opened
    await using before = await ScriptedSite.open(plain)
    await using after = await ScriptedSite.open(store)
    const visitor = before.visitor()
    await visit(visitor, { set: { user: 'ada' } })
    const same = after.sameVisitor(visitor)
    expect(await visit(same, 'view', { set: { cart: 1 } })).toEqual([{ user: 'ada' }, null])
    expect(await visit(same, 'view')).toEqual([{ user: 'ada', cart: 1 }])
    expect(await visit(same, 'view', 'destroy')).toEqual([{ user: 'ada', cart: 1 }, 'done'])
    expect(await visit(same, 'view')).toEqual([{}])
  })

  it('is not found where the upgrade is switched off; one that was moved is', async () => {
    await using opened = await openUpgrade(database)
    const { store, plain } = opened
    const off = opened.another()
    await plain.set('moved', handMade({ a: 1 }))
    await plain.set('not moved', handMade({ a: 1 }))
    await store.get('moved')
    expect(await off.get('moved')).toMatchObject({ a: 1 })
    expect(await off.get('not moved')).toBeNull()
  })

  it('is encrypted on its way, where encryption is on, whether it was before or not', async () => {
    const codec = encrypted({ keys: [KEY], acceptPlain: true })
    await using opened = await openUpgrade(database, { codec })
    const { store, plain, knex } = opened
    await plain.set('written plain', handMade({ secret: 1 }))
    await opened.another({ storedId: 'plain', codec }).set('written encrypted', handMade({ secret: 2 }))
    expect(await store.get('written plain')).toMatchObject({ secret: 1 })
    expect(await store.get('written encrypted')).toMatchObject({ secret: 2 })
    const rows = (await knex('sessions').where('expires_at', '>', 0).select('data')) as { data: string }[]
    expect(rows.map(({ data }) => data.slice(0, 3))).toEqual(['e1.', 'e1.'])
  })

  it('is not found by the hash that the table shows, which whoever reads the table has', async () => {
    await using opened = await openUpgrade(database)
    const { store, plain, knex } = opened
    await store.set('hashed from the beginning', handMade({ user: 'ada' }))
    await plain.set('moved', handMade({ user: 'bob' }))
    await store.get('moved')
    for (const stolen of await idsOf(knex)) {
      expect(await store.get(stolen)).toBeNull()
      await store.destroy(stolen)
    }
    expect([await store.get('hashed from the beginning'), await store.get('moved')]).toMatchObject([{ user: 'ada' }, { user: 'bob' }])
  })

  it('that was destroyed or has expired is none', async () => {
    const clock = new Clock()
    await using opened = await openUpgrade(database, { clock: clock.read, ttlSeconds: 60 })
    const { store, plain } = opened
    await plain.set('destroyed', handMade({}, { originalMaxAge: null }))
    await plain.set('expired', handMade({}, { originalMaxAge: null }))
    await plain.destroy('destroyed')
    clock.advance(60_000)
    expect([await store.get('destroyed'), await store.get('expired')]).toEqual([null, null])
    expect(await store.length()).toBe(0)
  })

  it('whose whole life is over is none', async () => {
    const clock = new Clock()
    await using opened = await openUpgrade(database, { clock: clock.read, ttlSeconds: 600 })
    await opened.plain.set('id', handMade({}, { originalMaxAge: null }))
    const store = opened.another({ upgradePlainIds: true, clock: clock.read, maxLifetimeSeconds: 60 })
    expect(await store.get('id')).not.toBeNull()
    await opened.plain.set('id2', handMade({}, { originalMaxAge: null }))
    clock.advance(60_000)
    expect([await store.get('id'), await store.get('id2')]).toEqual([null, null])
  })

  it('that cannot be read is no session, and an event, or an error, and stays what it is', async () => {
    await using opened = await openUpgrade(database)
    const { store, plain, knex } = opened
    await plain.set('id', handMade())
    await knex('sessions').update({ data: 'not JSON' })
    const before = await knex('sessions').select()
    const events: unknown[] = []
    store.on('unreadable', (event) => events.push(event))
    const strict = opened.another({ upgradePlainIds: true, unreadable: 'error' })
    expect(await store.get('id')).toBeNull()
    await expect(strict.get('id')).rejects.toMatchObject({ code: 'ERR_SESSION_UNREADABLE' })
    await nextTurn()
    expect(events).toEqual([{ reason: 'its data is not what the codec writes, so another program or another codec wrote it' }])
    expect(strict.stats().events).toEqual({ unreadable: 1 })
    expect(await knex('sessions').select()).toEqual(before)
  })

  it('cannot have an id that is none of a row, and asking for it is no error', async () => {
    await using opened = await openUpgrade(database)
    for (const id of ['', 'x'.repeat(300), 'a\0b', '\ud800']) {
      expect(await opened.store.get(id)).toBeNull()
      await opened.store.destroy(id)
    }
  })

  it('is ended by destroy() before anybody has used it, and by clear()', async () => {
    await using opened = await openUpgrade(database)
    const { store, plain, knex } = opened
    for (const id of ['a', 'b', 'c']) await plain.set(id, handMade())
    await store.get('c')
    await store.destroy('a')
    expect([await store.get('a'), await plain.get('a')]).toEqual([null, null])
    expect(await store.length()).toBe(2)
    expect(await store.all()).toHaveLength(2)
    await store.clear()
    for (const id of ['a', 'b', 'c']) expect([await store.get(id), await plain.get(id)]).toEqual([null, null])
    expect(await idsOf(knex)).toEqual([])
  })

  it('leaves nothing in the table when there was none to destroy', async () => {
    await using opened = await openUpgrade(database)
    await opened.store.destroy('id')
    expect(await opened.knex('sessions').select()).toEqual([])
  })

  it('is taken over from a process that ended in the middle of moving it', async () => {
    await using opened = await openUpgrade(database)
    const { store, plain, knex } = opened
    await plain.set('id', handMade({ user: 'ada' }))
    const { client } = knex
    const acquireConnection = client.acquireConnection
    let statements = 0
    client.acquireConnection = () => {
      statements++
      // Hash, plain row, claim; not the insert.
      return statements > 3 ? Promise.reject(Object.assign(new Error('gone'), { code: 'ECONNRESET' })) : acquireConnection.call(client)
    }
    await expect(store.get('id')).rejects.toThrow('session set failed')
    client.acquireConnection = acquireConnection
    expect(await idsOf(knex)).toEqual([])
    expect(await store.get('id')).toMatchObject({ user: 'ada' })
  })
})

describeDatabases('many requests of a session under its plain id at once', (database) => {
  const openStores = async () => {
    const opened = await openUpgrade(database)
    const stores = [opened.store, ...[1, 2].map(() => opened.another({ upgradePlainIds: true, knex: opened.database.connect() }))]
    return Object.assign(opened, { stores })
  }

  it('lose nothing of what they change', async () => {
    await using opened = await openStores()
    const { plain, stores } = opened
    for (let round = 0; round < 5; round++) {
      const id = `round ${round}`
      await plain.set(id, handMade({ user: 'ada' }))
      await Promise.all(
        Array.from({ length: 9 }, (_, index) => change(stores[index % 3] as KnexSessionStore, id, { [`key${index}`]: index }))
      )
      const expected = Object.fromEntries(Array.from({ length: 9 }, (_, index) => [`key${index}`, index]))
      expect(await stores[1]?.get(id)).toMatchObject({ user: 'ada', ...expected })
    }
  })

  it('do not bring it back when one of them destroys it', async () => {
    await using opened = await openStores()
    const { plain, stores, knex } = opened
    for (let round = 0; round < 8; round++) {
      const id = `round ${round}`
      await plain.set(id, handMade({ user: 'ada' }))
      await Promise.all([
        ...stores.map((store) => store.get(id).then((session) => session && store.set(id, Object.assign(session, { round })))),
        stores[round % 3]?.destroy(id)
      ])
      expect(await Promise.all(stores.map((store) => store.get(id)))).toEqual([null, null, null])
    }
    expect(await idsOf(knex)).toEqual([])
  })

  it('lose nothing that a process which knows no hashes writes meanwhile: it is there, or was dropped with an event', async () => {
    await using opened = await openStores()
    const { plain, stores } = opened
    let dropped = 0
    plain.on('dropped', () => dropped++)
    for (let round = 0; round < 8; round++) {
      const id = `round ${round}`
      await plain.set(id, handMade({ user: 'ada' }))
      const loaded = (await plain.get(id)) as SessionData
      dropped = 0
      await Promise.all([stores[0]?.get(id), stores[1]?.get(id), plain.set(id, Object.assign(loaded, { late: round }))])
      await nextTurn()
      const found = await stores[2]?.get(id)
      expect(found).toMatchObject({ user: 'ada' })
      expect((found as { late?: number }).late === round).toBe(dropped === 0)
    }
  })
})
