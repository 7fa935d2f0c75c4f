import express from 'express'
import session, { type SessionData } from 'express-session'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { KnexSessionStore } from '../../lib'
import { serve, Visitor } from '../support/http'
import { describeStores, handMade, openStore, type StoreOptions, shareDatabase } from '../support/stores'

/** A request that waits, with the session it has loaded in its hands, until it is let go. */
class Gate {
  readonly entered: Promise<void>
  readonly opened: Promise<void>
  enter: () => void = () => undefined
  open: () => void = () => undefined

  constructor() {
    this.entered = new Promise((resolve) => {
      this.enter = resolve
    })
    this.opened = new Promise((resolve) => {
      this.open = resolve
    })
  }
}

async function site(store: KnexSessionStore, options: Partial<session.SessionOptions> = {}) {
  const gate = new Gate()
  const app = express()
  app.use(session({ store, secret: 'secret', resave: false, saveUninitialized: false, cookie: { maxAge: 3_600_000 }, ...options }))
  const slow: express.RequestHandler = async (request, response) => {
    gate.enter()
    await gate.opened
    if (request.path === '/slow-change') Object.assign(request.session, { changed: true })
    if (request.path === '/slow-save') {
      Object.assign(request.session, { changed: true })
      await new Promise<void>((resolve, reject) => request.session.save((error) => (error ? reject(error) : resolve())))
    }
    response.send('done at last')
  }
  app.get(['/slow-change', '/slow-read', '/slow-save'], slow)
  app.get('/login', (request, response) => {
    request.session.regenerate(() => {
      Object.assign(request.session, { user: 'ada' })
      response.send(request.sessionID)
    })
  })
  app.get('/logout', (request, response) => {
    request.session.destroy(() => response.send('bye'))
  })
  app.get('/', (request, response) => {
    response.json((request.session as { user?: string }).user ?? null)
  })
  const served = await serve(app)
  return { served, gate, visitor: new Visitor(served.url), [Symbol.asyncDispose]: () => served[Symbol.asyncDispose]() }
}

const ENDS: Record<string, (visitor: Visitor, opened: Awaited<ReturnType<typeof openStore>>, id: string) => Promise<unknown>> = {
  'the visitor logs out': (visitor) => visitor.text('/logout'),
  'the visitor logs in anew': (visitor) => visitor.text('/login'),
  'another process ends it': async (_visitor, { database, another }, id) => another({ knex: database.connect() }).destroy(id),
  'all are ended': async (_visitor, { store }) => store.clear(),
  'its row is deleted': async (_visitor, { knex, tableName }) => knex(tableName).delete(),
  'it expires': async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3_600_000 })
  }
}

/** The last two are about express-session and no database, and one will do for them. */
const SLOW: Record<string, { path: string; options?: Partial<session.SessionOptions> }> = {
  'changes it': { path: '/slow-change' },
  'saves it by hand': { path: '/slow-save' },
  'only reads it': { path: '/slow-read' },
  'only reads it, with resave': { path: '/slow-read', options: { resave: true } },
  'only reads it, with rolling': { path: '/slow-read', options: { rolling: true } }
}

describeStores('a session that a slow request has loaded', (kind) => {
  const database = shareDatabase(kind)

  afterEach(() => {
    vi.useRealTimers()
  })

  for (const [end, endSession] of Object.entries(ENDS)) {
    for (const [does, { path, options }] of Object.entries(SLOW).slice(0, kind.name === 'sqlite' ? undefined : 3)) {
      it(`stays dead when ${end} meanwhile, and the request ${does}`, async () => {
        await using opened = await openStore(database(), { touchAfterMs: 0 })
        const dropped = vi.fn()
        opened.store.on('dropped', dropped)
        await using pages = await site(opened.store, options)
        const { gate, visitor } = pages
        const id = await visitor.text('/login')
        const slowTab = visitor.clone()
        const slow = slowTab.get(path)
        await gate.entered
        await endSession(visitor, opened, id)
        gate.open()
        const response = await slow
        expect([response.status, await response.text()]).toEqual([200, 'done at last'])
        expect(await opened.store.get(id)).toBeNull()
        expect(await slowTab.text('/')).toBe('null')
        expect(dropped).toHaveBeenCalled()
        // A login that came meanwhile is another session, and not touched by it.
        expect(await visitor.text('/')).toBe(end === 'the visitor logs in anew' ? '"ada"' : 'null')
      })
    }
  }
})

describeStores('a session that was ended', (kind) => {
  const database = shareDatabase(kind)

  async function ended(options: StoreOptions = {}) {
    const opened = await openStore(database(), { touchAfterMs: 0, ...options })
    const dropped: string[] = []
    opened.store.on('dropped', ({ operation }) => dropped.push(operation))
    await opened.store.set('id', handMade({ user: 'ada' }))
    const loaded = (await opened.store.get('id')) as SessionData & { user: string }
    await opened.store.destroy('id')
    return { opened, loaded, dropped, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() }
  }
  const settle = () => new Promise((resolve) => setImmediate(resolve))

  it('is not written back by who had loaded it, however often, and each time an event says so', async () => {
    await using subject = await ended()
    const { opened, loaded, dropped } = subject
    loaded.user = 'changed'
    await opened.store.set('id', loaded)
    await opened.store.set('id', loaded)
    await opened.store.touch('id', loaded)
    await settle()
    expect(dropped).toEqual(['set', 'set', 'touch'])
    expect(await opened.store.get('id')).toBeNull()
  })

  it('has no data in its row any more', async () => {
    await using subject = await ended({ owner: () => 'ada' })
    const { knex, tableName } = subject.opened
    const [row] = await knex(tableName)
    expect(row).toMatchObject({ data: '{}', owner_id: null })
    expect(Number(row.expires_at)).toBe(0)
  })

  it('may be begun anew under its id by an object that was not loaded', async () => {
    await using subject = await ended()
    await subject.opened.store.set('id', handMade({ user: 'bob' }))
    expect(await subject.opened.store.get('id')).toMatchObject({ user: 'bob' })
  })

  it('is not revived by an object of a class that may have been loaded long ago', async () => {
    await using subject = await ended()
    const { opened, dropped } = subject
    class FrameworkSession {
      cookie = { originalMaxAge: 60_000, expires: new Date(Date.now() + 60_000) }
      user = 'ada'
    }
    await opened.store.set('id', new FrameworkSession() as unknown as SessionData)
    await settle()
    expect(await opened.store.get('id')).toBeNull()
    expect(dropped).toEqual(['set'])
    await opened.store.set('new id', new FrameworkSession() as unknown as SessionData)
    expect(await opened.store.get('new id')).toMatchObject({ user: 'ada' })
  })

  it('stays dead in every order of what is asked at once', async () => {
    await using subject = await ended()
    const { opened, loaded } = subject
    const { store } = opened
    for (let round = 0; round < 5; round++) {
      loaded.user = `changed ${round}`
      await Promise.all([
        store.set('id', loaded),
        store.touch('id', loaded),
        store.destroy('id'),
        store.touch('id', handMade()),
        store.set('id', loaded)
      ])
      expect(await store.get('id')).toBeNull()
    }
  })
})

describeStores('the writes of a session', (kind) => {
  const database = shareDatabase(kind)

  it('happen in the order they were asked for, and a read sees those before it', async () => {
    await using opened = await openStore(database())
    const { store } = opened
    const stepSeen = async () => ((await store.get('id')) as { step?: number } | null)?.step
    const writes: Promise<void>[] = []
    for (let step = 1; step <= 20; step++) {
      if (step % 5 === 0) writes.push(store.destroy('id'))
      writes.push(store.set('id', handMade({ step: -step })), store.set('id', handMade({ step })))
      expect(await stepSeen()).toBe(step)
    }
    writes.push(store.destroy('id'))
    expect(await stepSeen()).toBeUndefined()
    await Promise.all(writes)
  })

  it('are of the session as it is when they are asked for', async () => {
    await using opened = await openStore(database())
    const { store } = opened
    const found = handMade({ cart: ['book'] }) as SessionData & { cart: string[] }
    const writes = [store.set('id', found)]
    found.cart.push('pen')
    writes.push(store.set('id', found))
    found.cart.push('not asked for')
    await Promise.all(writes)
    expect(await store.get('id')).toMatchObject({ cart: ['book', 'pen'] })
  })

  it('that change nothing renew the expiry alone', async () => {
    await using opened = await openStore(database())
    const { store, knex, tableName } = opened
    await store.set('id', handMade({ user: 'ada' }, { originalMaxAge: null, expires: null }))
    const row = async () => (await knex(tableName))[0]
    const before = await row()
    const loaded = (await store.get('id')) as SessionData
    await new Promise((resolve) => setTimeout(resolve, 5))
    await store.set('id', loaded)
    const after = await row()
    expect(after.revision).toBe(before.revision)
    expect(Number(after.expires_at)).toBeGreaterThan(Number(before.expires_at))
  })

  it('in one request may be many', async () => {
    await using opened = await openStore(database())
    const { store } = opened
    await store.set('id', handMade({ step: 0 }))
    const loaded = (await store.get('id')) as SessionData & { step: number }
    for (loaded.step = 1; loaded.step <= 3; loaded.step++) await store.set('id', loaded)
    expect(await store.get('id')).toMatchObject({ step: 3 })
    expect(store.stats().events).toEqual({})
  })
})

describe('a frozen session', () => {
  describeStores('object', (kind) => {
    it('is written like any other', async () => {
      await using opened = await openStore(kind)
      const { store } = opened
      await store.set('id', Object.freeze(handMade({ user: 'ada' })))
      const loaded = Object.freeze(await store.get('id')) as SessionData
      await store.set('id', loaded)
      await store.touch('id', loaded)
      await store.set('id', Object.freeze({ ...loaded, user: 'bob' }) as SessionData)
      expect(await store.get('id')).toMatchObject({ user: 'bob' })
    })
  })
})
