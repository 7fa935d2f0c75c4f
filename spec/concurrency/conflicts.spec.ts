import { describe, expect, it } from 'vitest'
import type { ConflictEvent, DroppedEvent, KnexSessionStore, KnexSessionStoreOptions } from '../../lib'
import { type Database, describeDatabases } from '../support/databases'
import { Clock, type OpenStore, openStore } from '../support/stores'
import { type Act, ScriptedSite, visit } from './scripted-site'

const secretValue = 'a value that nobody may see'

/** Two sites with a store of their own each, on one database: as two processes have them. */
class Pair implements AsyncDisposable {
  readonly conflicts: ConflictEvent[] = []
  readonly dropped: DroppedEvent[] = []

  private constructor(
    readonly opened: OpenStore,
    readonly stores: readonly [KnexSessionStore, KnexSessionStore],
    readonly here: ScriptedSite,
    readonly there: ScriptedSite
  ) {
    for (const store of stores) {
      store.on('conflict', (event) => this.conflicts.push(event))
      store.on('dropped', (event) => this.dropped.push(event))
    }
  }

  static async open(kind: Database, options: Partial<KnexSessionStoreOptions> = {}): Promise<Pair> {
    const opened = await openStore(kind, options)
    const other = opened.another({ ...options, knex: opened.database.connect() })
    const stores = [opened.store, other] as const
    return new Pair(opened, stores, await ScriptedSite.open(stores[0]), await ScriptedSite.open(stores[1]))
  }

  /** A request here that is half done while another is done there. Gives what the first request's acts gave. */
  async during(first: Partial<Record<'before' | 'after', Act[]>>, second: Act[], initial: Act[] = [{ set: { a: 1, b: 1 } }]) {
    const visitor = this.here.visitor()
    await visit(visitor, ...initial)
    const slow = visit(this.here.sameVisitor(visitor), ...(first.before ?? []), { waitFor: 'other' }, ...(first.after ?? []))
    await this.here.reached('other')
    await visit(this.there.sameVisitor(visitor), ...second)
    this.here.release('other')
    const acts = await slow
    const [left] = await visit(this.there.sameVisitor(visitor), 'view')
    return { acts: acts.filter((answer) => answer !== null), left, visitor }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.here[Symbol.asyncDispose]()
    await this.there[Symbol.asyncDispose]()
    await this.opened[Symbol.asyncDispose]()
  }
}

describeDatabases('two requests that change one session', (database) => {
  describe("with conflict: 'merge'", () => {
    it('keep what each of them added', async () => {
      await using pair = await Pair.open(database)
      const { left } = await pair.during({ after: [{ set: { cart: [1] } }] }, [{ set: { user: 'ada' } }])
      expect(left).toEqual({ a: 1, b: 1, cart: [1], user: 'ada' })
      expect(pair.conflicts).toEqual([])
    })

    it('leave deleted what was deleted, unless the other changed it', async () => {
      await using pair = await Pair.open(database)
      const { left } = await pair.during({ after: [{ unset: 'a' }, { unset: 'b' }] }, [{ set: { b: 2 } }])
      expect(left).toEqual({ b: 2 })
    })

    it('keep a change of what the other deleted', async () => {
      await using pair = await Pair.open(database)
      const { left } = await pair.during({ after: [{ set: { a: 2 } }] }, [{ unset: 'a' }])
      expect(left).toEqual({ a: 2, b: 1 })
      expect(pair.conflicts).toEqual([{ policy: 'merge', keys: ['a'] }])
    })

    it('end with the later write of a key that both changed, and one event that names the key and no value', async () => {
      await using pair = await Pair.open(database)
      const { left } = await pair.during({ after: [{ set: { a: secretValue, c: 1 } }] }, [{ set: { a: `${secretValue} too` } }])
      expect(left).toEqual({ a: secretValue, b: 1, c: 1 })
      expect(pair.conflicts).toEqual([{ policy: 'merge', keys: ['a'] }])
      expect(JSON.stringify(pair.conflicts)).not.toContain(secretValue)
    })

    it('merge no value, but take arrays and objects whole', async () => {
      await using pair = await Pair.open(database)
      const { left } = await pair.during({ after: [{ set: { a: { mine: 1 } } }] }, [{ set: { a: { theirs: 1 } } }])
      expect(left).toEqual({ a: { mine: 1 }, b: 1 })
    })

    it('have no conflict in what both changed to the same', async () => {
      await using pair = await Pair.open(database)
      const { left } = await pair.during({ after: [{ set: { a: [2] } }] }, [{ set: { a: [2], c: 3 } }])
      expect(left).toEqual({ a: [2], b: 1, c: 3 })
      expect(pair.conflicts).toEqual([])
    })

    it('keep what the other added also at the second and third save of a request', async () => {
      await using pair = await Pair.open(database)
      const visitor = pair.here.visitor()
      await visit(visitor, { set: { a: 1 } })
      const slow = visit(
        pair.here.sameVisitor(visitor),
        ...[{ waitFor: 'first' }, { set: { mine: 1 } }, 'save' as const],
        ...[{ waitFor: 'second' }, { set: { mine: 2 } }, 'save' as const],
        ...['save' as const, { unset: 'a' }, { waitFor: 'third' }, { set: { mine: 3 } }]
      )
      for (const [index, gate] of ['first', 'second', 'third'].entries()) {
        await pair.here.reached(gate)
        await visit(pair.there.sameVisitor(visitor), { set: { [`their${index}`]: index } })
        pair.here.release(gate)
      }
      await slow
      const [left] = await visit(visitor, 'view')
      expect(left).toEqual({ mine: 3, their0: 0, their1: 1, their2: 2 })
      expect(pair.conflicts).toEqual([])
    })

    it('read the other’s change with reload(), and change it from there', async () => {
      await using pair = await Pair.open(database)
      const { acts, left } = await pair.during({ before: [{ set: { lost: 1 } }], after: ['reload', 'view', { set: { a: 3 } }] }, [
        { set: { a: 2 } }
      ])
      expect(acts).toEqual(['done', { a: 2, b: 1 }])
      expect(left).toEqual({ a: 3, b: 1 })
      expect(pair.conflicts).toEqual([])
    })
  })

  describe("with conflict: 'overwrite'", () => {
    it('leave the whole session of the later write, and an event', async () => {
      await using pair = await Pair.open(database, { conflict: 'overwrite' })
      const { left } = await pair.during({ after: [{ set: { cart: [1] } }] }, [{ set: { user: 'ada' } }])
      expect(left).toEqual({ a: 1, b: 1, cart: [1] })
      expect(pair.conflicts).toEqual([{ policy: 'overwrite', keys: [] }])
    })
  })

  describe("with conflict: 'error'", () => {
    it('give the later one an error, and leave the earlier one’s session', async () => {
      await using pair = await Pair.open(database, { conflict: 'error' })
      const acts: Act[] = [{ set: { cart: [1] } }, 'save', { unset: 'cart' }]
      const { left, acts: answers } = await pair.during({ after: acts }, [{ set: { user: 'ada' } }])
      expect(answers).toEqual(['ERR_SESSION_CONFLICT'])
      expect(left).toEqual({ a: 1, b: 1, user: 'ada' })
      expect(pair.conflicts).toEqual([{ policy: 'error', keys: [] }])
    })

    it('let the later one try again after reload()', async () => {
      await using pair = await Pair.open(database, { conflict: 'error' })
      const acts: Act[] = [{ set: { cart: [1] } }, 'save', 'reload', { set: { cart: [1] } }, 'save']
      const { left, acts: answers } = await pair.during({ after: acts }, [{ set: { user: 'ada' } }])
      expect(answers).toEqual(['ERR_SESSION_CONFLICT', 'done', 'done'])
      expect(left).toEqual({ a: 1, b: 1, user: 'ada', cart: [1] })
    })

    it('are no conflict where the later one changed nothing', async () => {
      await using pair = await Pair.open(database, { conflict: 'error' })
      const { left } = await pair.during({}, [{ set: { user: 'ada' } }])
      expect(left).toEqual({ a: 1, b: 1, user: 'ada' })
      expect(pair.conflicts).toEqual([])
    })
  })

  describe('one of which ends it', () => {
    for (const conflict of ['merge', 'overwrite', 'error'] as const) {
      it(`leave it ended, with an event, and answer the other visitor, with conflict: '${conflict}'`, async () => {
        await using pair = await Pair.open(database, { conflict })
        const { left, acts } = await pair.during({ after: [{ set: { a: 2 } }, 'save'] }, ['destroy'])
        expect(acts).toEqual(['done'])
        expect(left).toEqual({})
        expect(await pair.stores[0].length()).toBe(0)
        expect(pair.dropped.length).toBeGreaterThan(0)
        expect(pair.dropped[0]).toEqual({ operation: 'set' })
      })
    }

    it('leave it ended when the other only touches it', async () => {
      await using pair = await Pair.open(database, { touchAfterMs: 0 })
      await pair.during({}, ['destroy'])
      expect(pair.dropped).toEqual([{ operation: 'touch' }])
      expect(await pair.stores[0].length()).toBe(0)
    })

    it('leave the old id dead after regenerate(), and the new one without what the other wrote', async () => {
      await using pair = await Pair.open(database)
      const visitor = pair.here.visitor()
      await visit(visitor, { set: { a: 1 } })
      const old = visitor.clone()
      const slow = visit(pair.here.sameVisitor(visitor), { waitFor: 'other' }, { set: { stolen: true } })
      await pair.here.reached('other')
      await visit(visitor, 'regenerate', { set: { user: 'ada' } }, 'save', { set: { seen: 1 } }, 'save')
      pair.here.release('other')
      await slow
      expect(visitor.cookies).not.toEqual(old.cookies)
      expect(await visit(visitor, 'view')).toEqual([{ user: 'ada', seen: 1 }])
      expect(await visit(old, 'view')).toEqual([{}])
      expect(pair.dropped).toEqual([{ operation: 'set' }])
    })

    it('leave the reload() of the other an error', async () => {
      await using pair = await Pair.open(database)
      const { acts, left } = await pair.during({ after: ['reload'] }, ['destroy'])
      expect(acts).toEqual(['failed to load session'])
      expect(left).toEqual({})
    })
  })

  it('keep the owner that the other set, and end it', async () => {
    await using pair = await Pair.open(database, { owner: (session) => (session as { user?: string }).user })
    const owners = async () => (await pair.opened.knex('sessions').where('expires_at', '>', 0).select('owner_id')) as object[]
    const { visitor } = await pair.during({ after: [{ set: { cart: [1] } }] }, [{ set: { user: 'ada' } }])
    expect(await owners()).toEqual([{ owner_id: 'ada' }])
    await visit(visitor, { unset: 'user' })
    expect(await owners()).toEqual([{ owner_id: null }])
  })

  it('live as long as the merged session is to live, where the ttl depends on the session', async () => {
    const ttlSeconds = (session: object) => ('remember' in session ? 1_000_000 : 1000)
    await using pair = await Pair.open(database, { ttlSeconds })
    const before = Date.now()
    await pair.during({ after: [{ set: { cart: [1] } }] }, [{ set: { remember: true } }])
    const [{ expires_at }] = (await pair.opened.knex('sessions').select('expires_at')) as [{ expires_at: unknown }]
    expect(Number(expires_at)).toBeGreaterThanOrEqual(before + 1_000_000_000)
  })
})

describeDatabases('a save that always comes too late', (database) => {
  it('is given up after twenty tries, with an error, and harms nothing', async () => {
    await using opened = await openStore(database)
    const { store, knex } = opened
    const other = opened.database.connect()
    await store.set('id', { cookie: { originalMaxAge: null }, a: 1 } as never)
    const session = (await store.get('id')) as unknown as { mine?: number }
    const acquireConnection = knex.client.acquireConnection
    let statements = 0
    knex.client.acquireConnection = async () => {
      statements++
      await other('sessions').increment('revision', 1)
      return acquireConnection.call(knex.client)
    }
    session.mine = 1
    await expect(store.set('id', session as never)).rejects.toMatchObject({ code: 'ERR_SESSION_CONFLICT', name: 'SessionConflictError' })
    expect(statements).toBe(40)
    knex.client.acquireConnection = acquireConnection
    expect(await store.get('id')).toEqual({ cookie: { originalMaxAge: null, expires: null }, a: 1 })
    await store.set('id', session as never)
    expect(await store.get('id')).toMatchObject({ a: 1, mine: 1 })
  })
})

describeDatabases('a session that was saved in a transaction that was rolled back', (database) => {
  it('overwrites nothing that another request has written at the same revision', async () => {
    await using opened = await openStore(database)
    const { store, knex } = opened
    const other = opened.another({ knex: opened.database.connect() })
    await store.set('id', { cookie: { originalMaxAge: null }, a: 1 } as never)
    const mine = (await store.get('id')) as { tried?: number; after?: number }
    mine.tried = 1
    await knex
      .transaction(async (trx) => {
        await store.withTransaction(trx).set('id', mine as never)
        throw new Error('on purpose')
      })
      .catch(() => undefined)
    const theirs = (await other.get('id')) as { theirs?: number }
    theirs.theirs = 1
    await other.set('id', theirs as never)
    mine.after = 1
    await store.set('id', mine as never)
    expect(await store.get('id')).toEqual({ cookie: { originalMaxAge: null, expires: null }, a: 1, theirs: 1, after: 1 })
  })
})

describeDatabases('a request that has taken longer than the life it loaded', (database) => {
  it('writes the session that another request has kept alive, and does not end it', async () => {
    const clock = new Clock()
    await using opened = await openStore(database, { clock: clock.read, touchAfterMs: 0 })
    const { store } = opened
    const cookie = { originalMaxAge: 60_000, maxAge: 60_000 }
    await store.set('id', { cookie } as never)
    const slow = (await store.get('id')) as { mine?: number }
    clock.advance(50_000)
    await store.touch('id', { cookie: { ...cookie, expires: new Date(clock.now + 60_000) } } as never)
    clock.advance(20_000)
    slow.mine = 1
    await store.set('id', slow as never)
    expect(await store.get('id')).toMatchObject({ mine: 1 })
  })
})

describeDatabases('a session that its application has frozen', (database) => {
  it('is written, and known, as any other', async () => {
    await using opened = await openStore(database)
    const { store } = opened
    await store.set('id', { cookie: { originalMaxAge: null }, a: 1 } as never)
    const other = (await store.get('id')) as unknown as { theirs?: number }
    const frozen = Object.freeze(Object.assign((await store.get('id')) as object, { mine: 1 }))
    other.theirs = 1
    await store.set('id', other as never)
    await store.set('id', frozen as never)
    await store.set('id', frozen as never)
    expect(await store.get('id')).toMatchObject({ a: 1, mine: 1, theirs: 1 })
  })
})
