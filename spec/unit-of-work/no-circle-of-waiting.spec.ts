import type { Express, NextFunction, Request, Response } from 'express'
import session from 'express-session'
import type { Knex } from 'knex'
import { expect, it, vi } from 'vitest'
import { KnexSessionStore } from '../../lib'
import type { UnitOfWorkOptions } from '../../lib/unit-of-work'
import { type DatabaseName, describeDatabases } from '../support/databases'
import { Visitor } from '../support/http'
import { PATIENT } from '../support/patience'
import { namesIn, usedConnections } from './names'
import { type Site, withSite } from './site'

const AT_ONCE = 200
const POOLS = [1, 2, 10]
/** So long that whoever waits for it in a circle fails the spec: all of them together take a small part of it. */
const ACQUIRE_MS = 20_000

/**
 * With its gap locks InnoDB makes two transactions wait for each other that end different sessions which are not in the table, and then store
 * new ones. It rolls one of them back at once, so this is an error and no wait.
 */
const MODES: Partial<Record<DatabaseName, UnitOfWorkOptions>> = { mysql: { isolation: 'read committed' } }

interface Waiting {
  readonly site: Site
  readonly store: KnexSessionStore
  readonly req: Request
  readonly res: Response
  readonly name: string
}

type Order = (waiting: Waiting) => Promise<unknown>

const called = (req: Request, method: 'save' | 'regenerate' | 'reload' | 'destroy') =>
  new Promise<void>((resolve, reject) => {
    req.session[method]((error?: unknown) => (error ? reject(error) : resolve()))
  })
const insert = ({ site, name }: Waiting) => site.work.db('names').insert({ name })

/** In which order a request needs its session, its unit and its store. Each keeps one row. */
const ORDERS: Readonly<Record<string, Order>> = {
  'rows, and the session at the end': async (waiting) => {
    await insert(waiting)
    waiting.req.session.name = waiting.name
  },
  'the session, then rows': async (waiting) => {
    waiting.req.session.name = waiting.name
    await called(waiting.req, 'save')
    await insert(waiting)
  },
  'rows, then a new session id': async (waiting) => {
    await insert(waiting)
    await called(waiting.req, 'regenerate')
    waiting.req.session.name = waiting.name
  },
  'a session that is destroyed, not awaited, and rows': async (waiting) => {
    void called(waiting.req, 'destroy')
    await insert(waiting)
  },
  'rows, then the session once more': async (waiting) => {
    await insert(waiting)
    waiting.req.session.name = waiting.name
    await called(waiting.req, 'save')
    await called(waiting.req, 'reload')
  },
  'rows, then whether the store is ready': async (waiting) => {
    await insert(waiting)
    await waiting.store.ready()
    await (waiting.req.sessionStore as unknown as KnexSessionStore).ready()
  },
  'rows, then what the store of the request can do': async (waiting) => {
    const store = waiting.req.sessionStore as unknown as KnexSessionStore
    await insert(waiting)
    await store.set(waiting.name, { cookie: { originalMaxAge: 60_000 } } as never)
    const loaded = await store.get(waiting.name)
    await store.touch(waiting.name, loaded as never)
    await store.destroy(waiting.name)
    await store.length()
    await store.prune()
    expect(await store.health()).toMatchObject({ ok: true })
  },
  'rows, then what the store itself can do': async (waiting) => {
    const { store } = waiting
    await insert(waiting)
    await store.set(waiting.name, { cookie: { originalMaxAge: 60_000 } } as never)
    const loaded = await store.get(waiting.name)
    await store.touch(waiting.name, loaded as never)
    await store.destroy(waiting.name)
    await store.length()
    await store.prune()
  },
  'the store itself, then rows': async (waiting) => {
    const { store } = waiting
    await store.get(waiting.name)
    await store.touch(waiting.name, { cookie: { originalMaxAge: 60_000 } } as never)
    await store.prune()
    await insert(waiting)
  }
}

describeDatabases('nobody waits in a circle', (database) => {
  const visitAtOnce = async (max: number, orders: readonly Order[]) => {
    let store: KnexSessionStore | undefined
    const before = (app: Express, knex: Knex) => {
      store = new KnexSessionStore({ knex, pruneIntervalMs: false, timeoutMs: ACQUIRE_MS })
      app.use(session({ store, secret: 'a secret of the specs', resave: false, saveUninitialized: false }))
    }
    const knex = { pool: { min: 0, max }, acquireConnectionTimeout: ACQUIRE_MS }
    await withSite({ database, before, work: { session: 'atomic', ...MODES[database.name] }, knex }, async (site) => {
      const own = store as KnexSessionStore
      const errors: unknown[] = []
      site.on('/outside', (req, res) => res.json({ name: req.session.name ?? null }))
      site.on('/:name', async (req, res) => {
        const name = String(req.params.name)
        await orders[Number(name.slice(4)) % orders.length]?.({ site, store: own, req, res, name })
        res.end()
      })
      site.app.use((error: unknown, _req: Request, res: Response, _next: NextFunction) => {
        errors.push(error)
        res.sendStatus(500)
      })
      // The first of them find no table.
      const statuses = await Promise.all(
        Array.from({ length: AT_ONCE }, async (_, index) => {
          const visitor = new Visitor(site.url)
          // Outside of units the same store is busy, too.
          const outside = [own.get(`outside ${index}`), visitor.get('/outside'), index % 20 ? undefined : own.prune()]
          const { status } = await visitor.get(`/name${index}`)
          await Promise.all(outside)
          return status
        })
      )
      expect(errors).toEqual([])
      expect(statuses).toEqual(statuses.map(() => 200))
      await vi.waitFor(() => expect(usedConnections(site.knex)).toBe(0), PATIENT)
      expect(await namesIn(site.knex)).toHaveLength(AT_ONCE)
    })
    await store?.close()
  }

  for (const max of POOLS) {
    it(`${AT_ONCE} at once in all orders, a pool of ${max}`, { timeout: 60_000 }, () => visitAtOnce(max, Object.values(ORDERS)))
  }

  for (const [title, order] of Object.entries(ORDERS)) {
    it(`${AT_ONCE} at once: ${title}`, { timeout: 60_000 }, () => visitAtOnce(10, [order]))
  }
})
