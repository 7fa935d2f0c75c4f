import type { AddressInfo } from 'node:net'
import fastifyCookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import type { Express, Request, Response } from 'express'
import session from 'express-session'
import createFastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import type { Knex } from 'knex'
import { vi } from 'vitest'
import { KnexSessionStore } from '../../lib'
import { type UnitOfWork, unitOfWork } from '../../lib/unit-of-work'
import type { Database } from '../support/databases'
import { PATIENT } from '../support/patience'
import { openNames } from './names'
import { EXPRESS, withSite } from './site'

/** A session as both frameworks have it; each of its methods gives a promise that the handlers here do not await. */
export interface AnySession {
  name: string | undefined
  destroy(): Promise<unknown>
  save(): Promise<unknown>
  regenerate(): Promise<unknown>
}

/** What a handler is given. */
export interface Context {
  readonly session: AnySession
  /** The last part of the path, as a number. */
  readonly status: number
  redirect(path: string): unknown
  fail(status: number): unknown
  /** Never answers. */
  hang(): unknown
}

export type SessionHandler = (context: Context) => unknown

/** An application with `session: 'atomic'`, whose visitors can sign in at `/login/:name` and ask `/whoami`. */
export interface SessionSite {
  readonly url: string
  readonly knex: Knex
  readonly work: UnitOfWork
  readonly store: KnexSessionStore
  on(path: string, handler: SessionHandler): void
  /** Makes requests of this path wait before their unit begins. */
  delay(path: string, wait: () => Promise<unknown>): void
  /** Resolves when the server has noticed that its clients are gone. */
  noneOpen(): Promise<void>
}

type WithSessionSite = (database: Database, use: (site: SessionSite) => Promise<void>, knex?: Knex.Config) => Promise<void>

const SECRET = 'a secret of the specs, which has to be long enough'

/** For each framework. */
export const SESSION_SITES: Readonly<Record<string, WithSessionSite>> = {
  ...Object.fromEntries(Object.keys(EXPRESS).map((version) => [version, onExpress(version)])),
  Fastify: onFastify
}

function onExpress(version: string): WithSessionSite {
  return (database, use, knexConfig) => {
    let store: KnexSessionStore | undefined
    const delays = new Map<string, () => Promise<unknown>>()
    const before = (app: Express, knex: Knex) => {
      store = new KnexSessionStore({ knex, pruneIntervalMs: false })
      app.use(session({ store, secret: SECRET, resave: false, saveUninitialized: false }))
      app.use((req, _res, next) => void Promise.resolve(delays.get(req.path)?.()).then(() => next(), next))
    }
    const options = { database, express: EXPRESS[version] as never, before, work: { session: 'atomic' as const }, knex: knexConfig }
    return withSite(options, async (site) => {
      const { knex, work, url, server } = site
      const on = (path: string, handler: SessionHandler) => site.on(path, (req, res) => handler(contextOfExpress(req, res)))
      site.on('/login/:name', (req, res) => {
        req.session.name = String(req.params.name)
        res.end()
      })
      site.on('/whoami', (req, res) => res.json({ name: req.session.name ?? null }))
      const noneOpen = () =>
        vi.waitFor(async () => expectNone(await new Promise((resolve) => server.getConnections((_e, n) => resolve(n)))), PATIENT)
      await use({ url, knex, work, store: store as KnexSessionStore, on, delay: (path, wait) => void delays.set(path, wait), noneOpen })
      await store?.close()
    })
  }
}

function contextOfExpress(req: Request, res: Response): Context {
  const own = req.session
  const call = (method: 'destroy' | 'save' | 'regenerate') =>
    new Promise<void>((resolve, reject) => {
      own[method]((error?: unknown) => (error ? reject(error) : resolve()))
    })
  return {
    session: sessionOfExpress(own, call),
    status: Number(req.params.status),
    redirect: (path) => res.redirect(303, path),
    fail: (status) => res.status(status).end(),
    hang: () => undefined
  }
}

function sessionOfExpress(own: Request['session'], call: (method: 'destroy' | 'save' | 'regenerate') => Promise<void>): AnySession {
  return {
    get name() {
      return own.name
    },
    set name(name) {
      if (name !== undefined) own.name = name
    },
    destroy: () => call('destroy'),
    save: () => call('save'),
    regenerate: () => call('regenerate')
  }
}

async function onFastify(database: Database, use: (site: SessionSite) => Promise<void>, knexConfig?: Knex.Config): Promise<void> {
  await using opened = await openNames(database, knexConfig ? { knex: knexConfig } : undefined)
  const { knex } = opened
  const work = unitOfWork(knex, { session: 'atomic' })
  const store = new KnexSessionStore({ knex, pruneIntervalMs: false })
  const delays = new Map<string, () => Promise<unknown>>()
  const fastify = createFastify()
  try {
    fastify.addHook('onRequest', async (request) => delays.get(request.url)?.())
    await fastify.register(work.fastifyPlugin())
    await fastify.register(fastifyCookie)
    await fastify.register(fastifySession, {
      store: work.sessionStore(store),
      secret: SECRET,
      saveUninitialized: false,
      cookie: { secure: false }
    })
    const handlers = new Map<string, SessionHandler>()
    fastify.get('/login/:name', async (request) => {
      request.session.name = (request.params as { name: string }).name
      return ''
    })
    fastify.get('/whoami', async (request) => ({ name: request.session.name ?? null }))
    // Routes cannot be added any more once Fastify listens.
    fastify.get('*', async (request, reply) => {
      const [path = '', status] = /^(\/\w+)\/(\d+)$/.exec(request.url)?.slice(1) ?? [request.url]
      const handler = handlers.get(path) ?? handlers.get(`${path}/:status`)
      return handler?.(contextOfFastify(request, reply, Number(status)))
    })
    await fastify.listen({ port: 0, host: '127.0.0.1' })
    const { port } = fastify.server.address() as AddressInfo
    const noneOpen = () =>
      vi.waitFor(async () => expectNone(await new Promise((resolve) => fastify.server.getConnections((_e, n) => resolve(n)))), PATIENT)
    await use({
      url: `http://127.0.0.1:${port}`,
      knex,
      work,
      store,
      on: (path, handler) => void handlers.set(path, handler),
      delay: (path, wait) => void delays.set(path, wait),
      noneOpen
    })
    await store.close()
  } finally {
    fastify.server.closeAllConnections()
    await fastify.close()
  }
}

function contextOfFastify(request: FastifyRequest, reply: FastifyReply, status: number): Context {
  return {
    session: request.session as unknown as AnySession,
    status,
    redirect: (path) => reply.redirect(path, 303),
    fail: (code) => reply.status(code).send(''),
    hang: () => new Promise(() => undefined)
  }
}

function expectNone(connections: number): void {
  if (connections > 0) throw new Error(`${connections} connections are still open`)
}
