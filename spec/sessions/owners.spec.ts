import { join } from 'node:path'
import express from 'express'
import session, { type SessionData } from 'express-session'
import { expect, it, onTestFinished, vi } from 'vitest'
import { KnexSessionStore, type OwnedSession, type OwnerId } from '../../lib'
import { memoryDatabase } from '../../lib/testing'
import { serve, Visitor } from '../support/http'
import { PATIENT } from '../support/patience'
import { runProcesses } from '../support/processes'
import { Clock, describeStores, handMade, openStore, type StoreOptions, shareDatabase } from '../support/stores'
import type { Input } from './sign-ins.worker.mts'

const owner: StoreOptions['owner'] = (data) => (data as { user?: string }).user
const userOf = (data: SessionData | null) => (data as { user?: string } | null)?.user

/** Signs the owner in under each session id, a second apart. */
async function signIn(store: KnexSessionStore, clock: Clock, user: unknown, ...ids: string[]): Promise<void> {
  for (const id of ids) {
    clock.advance(1000)
    await store.set(id, handMade({ user }))
  }
}

describeStores('the sessions of an owner', (kind) => {
  const database = shareDatabase(kind)
  const open = async (options: StoreOptions = {}) => {
    const clock = new Clock()
    const opened = await openStore(database(), { owner, clock: clock.read, ...options })
    return { ...opened, clock, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() }
  }

  it('are listed with when they began, were seen and end, the newest first', async () => {
    await using opened = await open()
    const { store, clock } = opened
    const begin = clock.now
    await signIn(store, clock, 'ada', 'phone', 'laptop')
    await signIn(store, clock, 'ben', 'tablet')
    clock.advance(60_000)
    const loaded = (await store.get('phone')) as SessionData
    loaded.cookie.expires = new Date(clock.now + 172_800_000)
    await store.touch('phone', loaded)
    expect(await store.ofOwner('ada')).toEqual([
      expect.objectContaining({ createdAt: begin + 2000, lastSeenAt: begin + 2000, session: expect.objectContaining({ user: 'ada' }) }),
      expect.objectContaining({ createdAt: begin + 1000, lastSeenAt: begin + 63_000 })
    ])
    for (const { expiresAt } of await store.ofOwner('ada')) expect(expiresAt).toBeGreaterThan(clock.now)
    expect(await store.countOf('ada')).toBe(2)
    expect(await store.ofOwner('eve')).toEqual([])
    expect(await store.countOf('eve')).toBe(0)
  })

  it('come in pages', async () => {
    await using opened = await open()
    const { store, clock } = opened
    const ids = Array.from({ length: 7 }, (_, number) => `id ${number}`)
    // Two of them at the same moment.
    await Promise.all(ids.slice(0, 2).map((id) => store.set(id, handMade({ user: 'ada' }))))
    await signIn(store, clock, 'ada', ...ids.slice(2))
    const all = (await store.ofOwner('ada')).map(({ handle }) => handle)
    expect(new Set(all).size).toBe(7)
    const paged: string[] = []
    for (let page = await store.ofOwner('ada', { limit: 3 }); page.length > 0; ) {
      paged.push(...page.map(({ handle }) => handle))
      page = await store.ofOwner('ada', { limit: 3, after: paged.at(-1) as string })
    }
    expect(paged).toEqual(all)
  })

  it('go on with the next page where the last session of the page has ended', async () => {
    await using opened = await open()
    const { store, clock } = opened
    await signIn(store, clock, 'ada', ...Array.from({ length: 6 }, (_, number) => `id ${number}`))
    const all = (await store.ofOwner('ada')).map(({ handle }) => handle)
    const last = (await store.ofOwner('ada', { limit: 3 })).at(-1) as OwnedSession
    await store.destroyHandle(last.handle, { ownerId: 'ada' })
    expect((await store.ofOwner('ada', { limit: 3, after: last })).map(({ handle }) => handle)).toEqual(all.slice(3))
    // It is where it was, even if it has begun anew since.
    const moved = (await store.ofOwner('ada', { limit: 1 }))[0] as OwnedSession
    expect(await store.ofOwner('ada', { after: { ...moved, createdAt: last.createdAt } })).toHaveLength(3)
    await expect(store.ofOwner('ada', { after: last.handle })).rejects.toMatchObject({ option: 'after' })
  })

  it('are listed with null where one cannot be read, also if that is an error to get', async () => {
    await using opened = await open({ unreadable: 'error' })
    const { store, knex, tableName } = opened
    await store.set('id', handMade({ user: 'ada' }))
    await knex(tableName).update({ data: 'no JSON' })
    expect(await store.ofOwner('ada')).toMatchObject([{ session: null, details: null }])
    await expect(store.get('id')).rejects.toMatchObject({ code: 'ERR_SESSION_UNREADABLE' })
  })

  it('are none that have lived for longer than sessions may today, and end with the others', async () => {
    await using opened = await open()
    const { store, clock } = opened
    const strict = opened.another({ owner, clock: clock.read, maxLifetimeSeconds: 60 })
    await signIn(store, clock, 'ada', 'old', 'older')
    clock.advance(60_000)
    await signIn(store, clock, 'ada', 'new')
    expect(await strict.ofOwner('ada')).toHaveLength(1)
    expect([await strict.countOf('ada'), await strict.length(), (await strict.ids()).length, (await strict.all()).length]).toEqual([
      1, 1, 1, 1
    ])
    expect(await strict.countByOwner()).toEqual(new Map([['ada', 1]]))
    expect(await store.countOf('ada')).toBe(3)
    await strict.destroyOwner('ada')
    expect(await store.countOf('ada')).toBe(0)
  })

  it('end one by one by a stored id, as ids() returns it', async () => {
    await using opened = await open({ prefix: 'web:' })
    const { store, clock } = opened
    await signIn(store, clock, 'ada', 'phone', 'laptop')
    const ids = await store.ids()
    expect(await store.destroyById(ids[0] as string)).toBe(true)
    expect(await store.destroyById(ids[0] as string)).toBe(false)
    expect(await store.ids()).toEqual(ids.slice(1))
    expect(await store.destroyById('phone')).toBe(false)
    await expect(store.destroyById(7 as never)).rejects.toThrow(/storedId must be a stored id, as ids\(\) returns it/)
  })

  it('tell which of them is the session of the visitor', async () => {
    await using opened = await open()
    const { store, clock } = opened
    await signIn(store, clock, 'ada', 'phone', 'laptop')
    const current = async (of: string | { sessionID: string }) =>
      (await store.ofOwner('ada', { current: of })).map(({ isCurrent }) => isCurrent)
    const [laptop] = await store.ofOwner('ada')
    expect(laptop?.isCurrent).toBe(false)
    expect(await current({ sessionID: 'phone' })).toEqual([false, true])
    expect(await current(laptop?.handle as string)).toEqual([true, false])
  })

  it.each<[what: string, call: (store: KnexSessionStore) => Promise<unknown>, message: RegExp]>([
    ['a misspelt except', (store) => store.destroyOwner('ada', { expect: 'phone' } as never), /unknown option "expect".*except/],
    ['a session id for the options', (store) => store.destroyOwner('ada', 'phone' as never), /second argument of destroyOwner\(\).*except/],
    [
      'a request for the options',
      (store) => store.destroyOwner('ada', { sessionID: 'phone' } as never),
      /second argument of destroyOwner\(\)/
    ],
    ['a misspelt limit', (store) => store.ofOwner('ada', { limt: 1 } as never), /unknown option "limt".*limit/],
    ['no owner of the handle', (store) => store.destroyHandle('handle', undefined as never), /ownerId must be/]
  ])('are not ended by mistake: %s', async (_what, call, message) => {
    await using opened = await open()
    const { store, clock } = opened
    await signIn(store, clock, 'ada', 'phone')
    await expect(call(store)).rejects.toThrow(message)
    expect(await store.countOf('ada')).toBe(1)
  })

  it('are counted for each owner, the live ones of this prefix alone', async () => {
    await using opened = await open({ prefix: 'web:', timeoutMs: 60_000 })
    const { store, clock } = opened
    const users = Array.from({ length: 2500 }, (_, number) => `user ${String(number).padStart(4, '0')}`)
    await Promise.all(users.map((user) => store.set(`first of ${user}`, handMade({ user }))))
    await signIn(store, clock, 'user 0007', 'phone', 'laptop')
    await signIn(store, clock, '7', 'number', 'text')
    await opened.another({ owner, clock: clock.read, prefix: 'admin:' }).set('id', handMade({ user: 'user 0007' }))
    await store.set('anonymous', handMade())
    await store.destroy('first of user 0008')
    const counts = await store.countByOwner()
    expect(counts.size).toBe(2500)
    expect([counts.get('user 0007'), counts.get('user 0008'), counts.get('7'), counts.get('user 2499')]).toEqual([3, undefined, 2, 1])
    expect([...counts.values()].reduce((sum, count) => sum + count)).toBe((await store.length()) - 1)
    clock.advance(90_000_000)
    expect(await store.countByOwner()).toEqual(new Map())
  })

  it('end at once, and no others', async () => {
    await using opened = await open()
    const { store, clock } = opened
    await signIn(store, clock, 'ada', 'phone', 'laptop')
    await signIn(store, clock, 'ben', 'tablet')
    await store.set('anonymous', handMade())
    expect(await store.destroyOwner('ada')).toBe(2)
    expect(await store.ofOwner('ada')).toEqual([])
    expect(await Promise.all(['phone', 'laptop', 'tablet', 'anonymous'].map(async (id) => (await store.get(id)) !== null))).toEqual([
      false,
      false,
      true,
      true
    ])
    expect(await store.destroyOwner('ada')).toBe(0)
  })

  it.each<[what: string, except: (store: KnexSessionStore) => Promise<string | { sessionID: string }>]>([
    ['a session id', async () => 'laptop'],
    ['a request', async () => ({ sessionID: 'laptop' })],
    ['a handle', async (store) => (await store.ofOwner('ada'))[0]?.handle as string]
  ])('end but for one, given as %s', async (_what, except) => {
    await using opened = await open()
    const { store, clock } = opened
    await signIn(store, clock, 'ada', 'phone', 'tablet', 'laptop')
    expect(await store.destroyOwner('ada', { except: await except(store) })).toBe(2)
    expect(await Promise.all(['phone', 'tablet', 'laptop'].map(async (id) => userOf(await store.get(id))))).toEqual([
      undefined,
      undefined,
      'ada'
    ])
  })

  it('end one by one, by a handle, and by their owner alone', async () => {
    await using opened = await open()
    const { store, clock } = opened
    await signIn(store, clock, 'ada', 'phone', 'laptop')
    const [laptop] = await store.ofOwner('ada')
    const handle = laptop?.handle as string
    expect(await store.destroyHandle(handle, { ownerId: 'ben' })).toBe(false)
    expect(await store.destroyHandle(handle, { ownerId: 'ada' })).toBe(true)
    expect(await store.destroyHandle(handle, { ownerId: 'ada' })).toBe(false)
    expect([await store.get('laptop'), userOf(await store.get('phone'))]).toEqual([null, 'ada'])
  })

  it('have a handle that is no session id, no stored id, and leads to neither', async () => {
    await using opened = await open()
    const { store, clock, knex, tableName } = opened
    await signIn(store, clock, 'ada', 'phone')
    const [{ handle } = { handle: '' }] = await store.ofOwner('ada')
    expect(handle).toMatch(/^[\w-]{43}$/)
    expect(await knex(tableName).pluck('id')).not.toContain(handle)
    expect(await store.get(handle)).toBeNull()
    await store.destroy(handle)
    expect(await store.countOf('ada')).toBe(1)
  })

  it('stay ended, whatever requests still hold them, also in another process', async () => {
    await using opened = await open()
    const { store, clock } = opened
    const other = opened.another({ knex: opened.database.connect(), owner, clock: clock.read })
    await signIn(store, clock, 'ada', 'phone', 'laptop')
    const held = (await store.get('phone')) as SessionData & { seen?: boolean }
    const heldElsewhere = (await other.get('laptop')) as SessionData & { seen?: boolean }
    expect(await store.destroyOwner('ada')).toBe(2)
    held.seen = true
    heldElsewhere.seen = true
    await store.set('phone', held)
    await other.set('laptop', heldElsewhere)
    await other.touch('laptop', heldElsewhere)
    expect(await store.countOf('ada')).toBe(0)
    expect([await store.get('phone'), await other.get('laptop')]).toEqual([null, null])
  })

  it('are those of whoever the session belongs to now', async () => {
    await using opened = await open()
    const { store, clock } = opened
    await signIn(store, clock, 'ada', 'phone')
    const loaded = (await store.get('phone')) as SessionData
    await store.set('phone', Object.assign(loaded, { user: 'ben' }))
    expect([await store.countOf('ada'), await store.countOf('ben')]).toEqual([0, 1])
  })

  it('have the prefix of the store', async () => {
    await using opened = await open({ prefix: 'web:' })
    const { store, clock } = opened
    const other = opened.another({ prefix: 'api:', owner, clock: clock.read })
    await signIn(store, clock, 'ada', 'phone')
    await signIn(other, clock, 'ada', 'phone', 'robot')
    expect([await store.countOf('ada'), await other.countOf('ada')]).toEqual([1, 2])
    expect(await store.destroyOwner('ada')).toBe(1)
    expect([await store.countOf('ada'), (await other.ofOwner('ada')).length]).toEqual([0, 2])
  })

  it.each([
    ['plain ids', { storedId: 'plain' } as const],
    ['ids of both kinds', { upgradePlainIds: true } as const]
  ])('are found with %s', async (_what, options) => {
    await using opened = await open(options)
    const { store, clock } = opened
    await signIn(opened.another({ storedId: 'plain', owner, clock: clock.read }), clock, 'ada', 'phone')
    await signIn(store, clock, 'ada', 'laptop')
    expect(await store.countOf('ada')).toBe(2)
    expect(await store.destroyOwner('ada', { except: 'laptop' })).toBe(1)
    expect([await store.get('phone'), userOf(await store.get('laptop'))]).toEqual([null, 'ada'])
  })

  it('include those of writes that were called before, and none that have expired', async () => {
    await using opened = await open()
    const { store, clock } = opened
    const writes = ['a', 'b'].map((id) => store.set(id, handMade({ user: 'ada' }, { expires: new Date(clock.now + 60_000) })))
    expect(await store.countOf('ada')).toBe(2)
    await Promise.all(writes)
    clock.advance(61_000)
    expect([await store.countOf('ada'), await store.ofOwner('ada'), await store.destroyOwner('ada')]).toEqual([0, [], 0])
  })

  it('end with the transaction that ends them', async () => {
    await using opened = await open()
    const { store, clock, knex } = opened
    await signIn(store, clock, 'ada', 'phone', 'laptop')
    const undone = knex.transaction(async (trx) => {
      expect(await store.withTransaction(trx).destroyOwner('ada')).toBe(2)
      throw new Error('on purpose')
    })
    await expect(undone).rejects.toThrow('on purpose')
    expect(await store.countOf('ada')).toBe(2)
    await knex.transaction(async (trx) => void (await store.withTransaction(trx).destroyOwner('ada', { except: 'phone' })))
    expect([userOf(await store.get('phone')), await store.get('laptop')]).toEqual(['ada', null])
  })

  it('end one after the other in a transaction, whose connection runs one statement at a time', async () => {
    await using opened = await open()
    const { store, clock, knex } = opened
    const ended = async (end: (inside: KnexSessionStore) => Promise<unknown>) => {
      await signIn(store, clock, 'ada', 'phone', 'laptop', 'tablet', 'watch')
      let running = 0
      let most = 0
      await knex.transaction(async (trx) => {
        trx.on('query', () => {
          most = Math.max(most, ++running)
        })
        trx.on('query-response', () => running--)
        await end(store.withTransaction(trx))
      })
      expect(await store.countOf('ada')).toBe(0)
      return most
    }
    expect(await ended((inside) => inside.destroyOwner('ada'))).toBe(1)
    expect(await ended((inside) => inside.clear())).toBe(1)
  })

  it('may be more than a page', async () => {
    await using opened = await open()
    const { store } = opened
    const ids = Array.from({ length: 600 }, (_, number) => `id ${number}`)
    await Promise.all(ids.map((id) => store.set(id, handMade({ user: 7 }))))
    expect(await store.countOf(7n)).toBe(600)
    expect(await store.destroyOwner('7', { except: 'id 300' })).toBe(599)
    expect(await store.ids()).toHaveLength(1)
  })

  it.each<unknown>(['', null, undefined, Number.NaN, {}, true, 'a\0b', 'x'.repeat(300)])(
    'are of no owner %o: that is refused',
    async (id) => {
      await using opened = await open()
      const { store } = opened
      const refused = expect.objectContaining({ code: 'ERR_SESSION_INVALID_OPTION', option: 'ownerId' })
      const calls = [
        store.ofOwner(id as OwnerId),
        store.destroyOwner(id as OwnerId),
        store.countOf(id as OwnerId),
        store.destroyHandle('h', { ownerId: id as OwnerId })
      ]
      for (const call of calls) await expect(call).rejects.toEqual(refused)
    }
  )

  it('are not listed by wrong options', async () => {
    await using opened = await open()
    const { store } = opened
    for (const limit of [0, 1001, 1.5, '5' as never])
      await expect(store.ofOwner('ada', { limit })).rejects.toMatchObject({ option: 'limit' })
    await expect(store.ofOwner('ada', { after: 'no handle' })).rejects.toMatchObject({ option: 'after' })
    await expect(store.destroyOwner('ada', { except: 5 as never })).rejects.toMatchObject({ option: 'except' })
    await expect(store.destroyOwner('ada', { except: {} })).rejects.toMatchObject({ option: 'except' })
  })

  it('are signed out everywhere else by a page of the application', async () => {
    await using opened = await open()
    const app = express()
    app.use(session({ store: opened.store, secret: 'secret', resave: false, saveUninitialized: false }))
    app.get('/login', (req, res) =>
      req.session.regenerate(() => {
        Object.assign(req.session, { user: 'ada' })
        res.end()
      })
    )
    app.get('/me', (req, res) => void res.end(userOf(req.session) ?? 'nobody'))
    app.get('/elsewhere', async (req, res) => void res.end(String(await opened.store.destroyOwner('ada', { except: req }))))
    await using site = await serve(app)
    const [phone, laptop, tablet] = [new Visitor(site.url), new Visitor(site.url), new Visitor(site.url)]
    for (const visitor of [phone, laptop, tablet]) await visitor.get('/login')
    expect(await laptop.text('/elsewhere')).toBe('2')
    expect(await Promise.all([phone, laptop, tablet].map((visitor) => visitor.text('/me')))).toEqual(['nobody', 'ada', 'nobody'])
  })
})

describeStores('at most so many sessions of an owner', (kind) => {
  const database = shareDatabase(kind)
  const open = async (maxSessionsPerOwner: number) => {
    const clock = new Clock()
    const opened = await openStore(database(), { owner, clock: clock.read, maxSessionsPerOwner })
    return { ...opened, clock, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() }
  }
  const livingOf = async (store: KnexSessionStore, ids: readonly string[]) => {
    const living = await Promise.all(ids.map(async (id) => ((await store.get(id)) === null ? [] : [id])))
    return living.flat()
  }

  it('stay: when one signs in, the oldest ends', async () => {
    await using opened = await open(3)
    const { store, clock } = opened
    const ids = ['a', 'b', 'c', 'd', 'e']
    await signIn(store, clock, 'ada', ...ids)
    await signIn(store, clock, 'ben', 'f')
    expect(await livingOf(store, [...ids, 'f'])).toEqual(['c', 'd', 'e', 'f'])
  })

  it('stay where an anonymous session gets its owner later, as at a sign-in', async () => {
    await using opened = await open(1)
    const { store, clock } = opened
    await signIn(store, clock, 'ada', 'a')
    clock.advance(1000)
    await store.set('b', handMade())
    const loaded = (await store.get('b')) as SessionData
    expect(await livingOf(store, ['a', 'b'])).toEqual(['a', 'b'])
    await store.set('b', Object.assign(loaded, { user: 'ada' }))
    expect(await livingOf(store, ['a', 'b'])).toEqual(['b'])
  })

  it('cost nothing after the sign-in', async () => {
    await using opened = await open(2)
    const { store, clock } = opened
    await signIn(store, clock, 'ada', 'a')
    const { calls } = store.stats().statements.owner ?? { calls: 0 }
    const loaded = (await store.get('a')) as SessionData
    for (const visits of [1, 2, 3]) await store.set('a', Object.assign(loaded, { visits }))
    await store.touch('a', loaded)
    expect(store.stats().statements.owner?.calls).toBe(calls)
  })

  it('stay when many sign in at once, over pools of their own', { timeout: 60_000 }, async () => {
    await using opened = await open(5)
    const { clock } = opened
    const options = { owner, clock: clock.read, maxSessionsPerOwner: 5 }
    const stores = [opened.store, ...Array.from({ length: 2 }, () => opened.another({ ...options, knex: opened.database.connect() }))]
    await Promise.all(stores.map((store) => store.ready()))
    for (let round = 0; round < 5; round++) {
      clock.advance(1000)
      const ids = Array.from({ length: 30 }, (_, number) => `${round} ${number}`)
      await Promise.all(ids.map((id, number) => stores[number % stores.length]?.set(id, handMade({ user: 'ada' }))))
      expect(await opened.store.countOf('ada')).toBe(5)
      expect(await livingOf(opened.store, ids)).toHaveLength(5)
    }
  })

  it('stay when several processes sign in at once', { timeout: 120_000 }, async () => {
    await using opened = await open(5)
    const { store, tableName } = opened
    await store.ready()
    for (let round = 0; round < 3; round++) {
      const inputs = Array.from({ length: 4 }, (_, process): Input => {
        const ids = Array.from({ length: 8 }, (_, number) => `${round} ${process} ${number}`)
        return { config: opened.database.config, tableName, ids, what: 'in', maxSessionsPerOwner: 5 }
      })
      const results = await runProcesses<Input, void>(join(__dirname, 'sign-ins.worker.mts'), inputs)
      expect(results.map(({ error }) => error)).toEqual(inputs.map(() => undefined))
      expect(await store.countOf('ada')).toBe(5)
    }
  })

  it('are told to onError if they cannot be ended: the sign-in has succeeded', async () => {
    await using opened = await open(1)
    const { store, clock, knex } = opened
    const errors: unknown[] = []
    const other = opened.another({ owner, clock: clock.read, maxSessionsPerOwner: 1, onError: (error) => errors.push(error) })
    await signIn(store, clock, 'ada', 'a')
    const refuse = ({ sql }: { sql: string }) => {
      if (/created_at.* DESC/.test(sql)) throw new RangeError('on purpose')
    }
    knex.on('query', refuse)
    await signIn(other, clock, 'ada', 'b')
    knex.off('query', refuse)
    expect(errors).toEqual([expect.objectContaining({ code: 'ERR_SESSION_QUERY_LISTENER' })])
    expect(await livingOf(store, ['a', 'b'])).toEqual(['a', 'b'])
    await signIn(other, clock, 'ada', 'c')
    expect(await livingOf(store, ['a', 'b', 'c'])).toEqual(['c'])
  })

  it('stay after the transaction that signs in has committed, and not if it is rolled back', async () => {
    await using opened = await open(1)
    const { store, clock, knex } = opened
    await signIn(store, clock, 'ada', 'a')
    clock.advance(1000)
    const undone = knex.transaction(async (trx) => {
      await store.withTransaction(trx).set('b', handMade({ user: 'ada' }))
      throw new Error('on purpose')
    })
    await expect(undone).rejects.toThrow('on purpose')
    expect(await livingOf(store, ['a', 'b'])).toEqual(['a'])
    await knex.transaction((trx) => trx.transaction((nested) => store.withTransaction(nested).set('b', handMade({ user: 'ada' }))))
    await vi.waitUntil(async () => (await store.countOf('ada')) === 1, PATIENT)
    expect(await livingOf(store, ['a', 'b'])).toEqual(['b'])
  })
})

it('a limit of sessions for an owner needs owners', () => {
  const { knex } = memoryDatabase()
  onTestFinished(() => knex.destroy())
  expect(() => new KnexSessionStore({ knex, maxSessionsPerOwner: 5 })).toThrow(
    'owner must be a function of the session where maxSessionsPerOwner is given, got undefined'
  )
  expect(() => new KnexSessionStore({ knex, owner: () => 1, maxSessionsPerOwner: 0 })).toThrow(
    'maxSessionsPerOwner must be a whole number, 1 or more, got 0 (number)'
  )
})
