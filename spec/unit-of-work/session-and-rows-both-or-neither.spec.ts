import express, { type Express, type NextFunction, type Request, type Response } from 'express'
import session, { MemoryStore } from 'express-session'
import type { Knex } from 'knex'
import { expect, it } from 'vitest'
import { KnexSessionStore } from '../../lib'
import { AtomicSessionError, type SessionMode, SessionOrderError } from '../../lib/unit-of-work'
import { describeDatabases } from '../support/databases'
import { Visitor } from '../support/http'
import { createPets, namesIn } from './names'
import { EXPRESS, type Site, withSite } from './site'

declare module 'express-session' {
  interface SessionData {
    name?: string
    cart?: number
  }
}

interface SessionSite extends Site {
  readonly store: KnexSessionStore
  readonly visitor: Visitor
}

const SECRET = 'a secret of the specs'

describeDatabases('the session and the rows', (database) => {
  const withSession = (mode: SessionMode, use: (site: SessionSite) => Promise<void>, version = express) => {
    let store: KnexSessionStore | undefined
    const before = (app: Express, knex: Knex) => {
      store = new KnexSessionStore({ knex, pruneIntervalMs: false })
      app.use(session({ store, secret: SECRET, resave: false, saveUninitialized: false }))
    }
    return withSite({ database, express: version, before, work: { session: mode } }, async (site) => {
      await store?.ready()
      const { work } = site
      site.on('/whoami', (req, res) => res.json({ name: req.session.name ?? null, cart: req.session.cart ?? null }))
      site.on('/login/:name', async (req, res) => {
        req.session.name = String(req.params.name)
        await work.db('names').insert({ name: String(req.params.name) })
        res.sendStatus(req.query.status ? Number(req.query.status) : 200)
      })
      await use({ ...site, store: store as KnexSessionStore, visitor: new Visitor(site.url) })
      await store?.close()
    })
  }

  for (const [version, make] of Object.entries(EXPRESS)) {
    it(`atomic: both are kept, or neither (${version})`, () =>
      withSession(
        'atomic',
        async ({ knex, visitor, store }) => {
          expect(await visitor.get('/login/ada?status=409')).toMatchObject({ status: 409 })
          expect(visitor.cookies.size).toBe(0)
          expect([await namesIn(knex), await store.length()]).toEqual([[], 0])

          expect(await visitor.get('/login/ada')).toMatchObject({ status: 200 })
          expect([await namesIn(knex), await store.length()]).toEqual([['ada'], 1])
          expect(await visitor.json('/whoami')).toMatchObject({ name: 'ada' })

          // The name is taken, so the statement fails and the session stays as it was.
          const other = visitor.clone()
          expect(await other.get('/login/ada')).toMatchObject({ status: 500 })
          expect(await other.get('/login/ben?status=400')).toMatchObject({ status: 400 })
          expect(await visitor.json('/whoami')).toMatchObject({ name: 'ada' })
        },
        make
      ))

    it(`independent: the session is saved whatever becomes of the rows (${version})`, () =>
      withSession(
        'independent',
        async ({ knex, visitor, store }) => {
          expect(await visitor.get('/login/ada?status=409')).toMatchObject({ status: 409 })
          expect([await namesIn(knex), await store.length()]).toEqual([[], 1])
          expect(await visitor.json('/whoami')).toMatchObject({ name: 'ada' })
        },
        make
      ))
  }

  it('saving a session by hand does not commit rows', () =>
    withSession('atomic', async ({ work, knex, on, visitor, store }) => {
      on('/save', async (req, res) => {
        await work.db('names').insert({ name: 'ada' })
        req.session.name = 'ada'
        await new Promise<void>((resolve, reject) => {
          req.session.save((error) => (error ? reject(error) : resolve()))
        })
        if (database.name !== 'sqlite') expect(await namesIn(knex)).toEqual([])
        res.sendStatus(400)
      })
      expect(await visitor.get('/save')).toMatchObject({ status: 400 })
      expect([await namesIn(knex), await store.length()]).toEqual([[], 0])
      expect(visitor.cookies.size).toBe(0)
    }))

  it.skipIf(database.name === 'sqlite')(
    'nor does it where sessions are independent (skipped on sqlite: its one connection is the transaction’s until the end)',
    () =>
      withSession('independent', async ({ work, knex, on, visitor, store }) => {
        on('/save', async (req, res) => {
          await work.db('names').insert({ name: 'ada' })
          req.session.name = 'ada'
          await new Promise<void>((resolve, reject) => {
            req.session.save((error) => (error ? reject(error) : resolve()))
          })
          res.sendStatus(400)
        })
        expect(await visitor.get('/save')).toMatchObject({ status: 400 })
        expect([await namesIn(knex), await store.length()]).toEqual([[], 1])
      })
  )

  it('a login that makes a new session id and fails leaves the old session alive', () =>
    withSession('atomic', async ({ work, on, visitor, store }) => {
      on('/cart', (req, res) => {
        req.session.cart = 3
        res.end()
      })
      on('/regenerate', async (req, res) => {
        await new Promise<void>((resolve, reject) => {
          req.session.regenerate((error) => (error ? reject(error) : resolve()))
        })
        req.session.name = 'ada'
        await work.db('names').insert({ name: 'ada' })
        res.sendStatus(Number(req.query.status))
      })
      await visitor.get('/cart')
      const before = new Map(visitor.cookies)
      expect(await visitor.get('/regenerate?status=400')).toMatchObject({ status: 400 })
      expect(visitor.cookies).toEqual(before)
      expect(await visitor.json('/whoami')).toEqual({ name: null, cart: 3 })
      const old = visitor.clone()
      expect(await visitor.get('/regenerate?status=200')).toMatchObject({ status: 200 })
      expect(await visitor.json('/whoami')).toEqual({ name: 'ada', cart: null })
      expect(await old.json('/whoami')).toEqual({ name: null, cart: null })
      expect(await store.length()).toBe(1)
    }))

  it('a logout that fails is none', () =>
    withSession('atomic', async ({ work, on, visitor }) => {
      on('/logout', async (req, res) => {
        await new Promise<void>((resolve, reject) => {
          req.session.destroy((error) => (error ? reject(error) : resolve()))
        })
        await work.db('names').del()
        res.sendStatus(Number(req.query.status))
      })
      await visitor.get('/login/ada')
      await visitor.get('/logout?status=500')
      expect(await visitor.json('/whoami')).toMatchObject({ name: 'ada' })
      await visitor.get('/logout?status=200')
      expect(await visitor.json('/whoami')).toMatchObject({ name: null })
    }))

  it('a session saved by hand after the rows were rolled back is not saved, without a fuss', () =>
    withSession('atomic', async ({ work, on, visitor, store }) => {
      on('/late', async (req, res) => {
        await work.db('names').insert({ name: 'ada' })
        await req.work.rollback()
        req.session.name = 'ada'
        await new Promise<void>((resolve, reject) => {
          req.session.save((error) => (error ? reject(error) : resolve()))
        })
        res.end()
      })
      expect(await visitor.get('/late')).toMatchObject({ status: 200 })
      expect(await store.length()).toBe(0)
    }))

  it('what the store itself is asked in a unit is part of it, but for what is done outside', () =>
    withSession('atomic', async ({ work, on, visitor, store }) => {
      const cookie = { originalMaxAge: 60_000 } as never
      on('/store/:status', async (req, res) => {
        await work.db('names').insert({ name: String(req.params.status) })
        await store.set('another', { cookie, name: 'ben' })
        expect(await store.get('another')).toMatchObject({ name: 'ben' })
        expect(await store.length()).toBe(1)
        res.sendStatus(Number(req.params.status))
      })
      on('/outside', async (_req, res) => {
        await work.outside(() => store.set('outside', { cookie, name: 'cleo' }))
        await work.db('names').insert({ name: 'undone' })
        res.sendStatus(400)
      })
      expect(await visitor.get('/store/400')).toMatchObject({ status: 400 })
      expect(await store.get('another')).toBeNull()
      expect(await visitor.get('/store/200')).toMatchObject({ status: 200 })
      expect(await store.get('another')).toMatchObject({ name: 'ben' })
      expect(await visitor.get('/outside')).toMatchObject({ status: 400 })
      expect(await store.get('outside')).toMatchObject({ name: 'cleo' })
    }))

  it('a request that changes nothing in the session costs no more than without the unit', () =>
    withSession('atomic', async ({ work, on, visitor, statements }) => {
      on('/read', async (_req, res) => res.json(await work.db('names')))
      await visitor.get('/login/ada')
      statements.length = 0
      await visitor.text('/whoami')
      expect(statements).toHaveLength(1)
      statements.length = 0
      await visitor.text('/read')
      // get, BEGIN, select, what makes sure that the session is still there, COMMIT
      expect(statements.length).toBeLessThanOrEqual(5)
    }))

  it('two requests that change one session both keep their change', () =>
    withSession('atomic', async ({ work, on, visitor }) => {
      on('/cart', async (req, res) => {
        req.session.cart = 7
        await work.db('names').insert({ name: 'cart' })
        res.end()
      })
      await visitor.get('/login/ada')
      await Promise.all([visitor.get('/cart'), visitor.get('/login/ben')])
      expect(await visitor.json('/whoami')).toEqual({ name: 'ben', cart: 7 })
    }))

  it.skipIf(database.name === 'mysql')(
    'after a commit that failed the session is not saved in either mode (skipped on mysql: it has no deferred constraints)',
    async () => {
      for (const mode of ['atomic', 'independent'] as const) {
        await withSession(mode, async ({ work, knex, on, visitor, store }) => {
          await createPets(knex)
          on('/pets', async (req, res) => {
            req.session.name = 'ada'
            await work.db('pets').insert({ name_id: 404 })
            res.send('welcome')
          })
          expect(await visitor.get('/pets')).toMatchObject({ status: 500 })
          expect(visitor.cookies.size).toBe(0)
          expect(await store.length()).toBe(0)
        })
      }
    }
  )

  it('a store that cannot be in a transaction is refused in words', () =>
    withSite(
      {
        database,
        work: { session: 'atomic' },
        before: (app) => void app.use(session({ store: new MemoryStore(), secret: SECRET, resave: false, saveUninitialized: false }))
      },
      async ({ app, on, visit }) => {
        const errors: unknown[] = []
        on('/', (_req, res) => res.end())
        app.use((error: unknown, _req: Request, res: Response, _next: NextFunction) => {
          errors.push(error)
          res.sendStatus(500)
        })
        await visit('/')
        expect(errors).toEqual([expect.any(AtomicSessionError)])
      }
    ))

  it('the wrong order of the middlewares is found out by the first request', () =>
    withSite({ database }, async ({ app, on, visit }) => {
      const errors: unknown[] = []
      app.use(session({ store: new MemoryStore(), secret: SECRET, resave: false, saveUninitialized: false }))
      on('/', (_req, res) => res.send('hello'))
      app.use((error: unknown, _req: Request, res: Response, _next: NextFunction) => {
        errors.push(error)
        res.sendStatus(500)
      })
      expect(await visit('/')).toMatchObject({ status: 500 })
      expect(errors).toEqual([expect.any(SessionOrderError)])
    }))
})
