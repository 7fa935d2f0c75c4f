import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import fastifyCookie from '@fastify/cookie'
import fastify from 'fastify'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { KnexSessionStore } from '../../lib'
import { Visitor } from '../support/http'
import { describeStores, openStore } from '../support/stores'

const ROOT = resolve(__dirname, '../..')
const ROUNDS = 10

// Without their types, which are missing or name other sessions of Fastify than @fastify/session does.
const load = createRequire(__filename)
const Koa = load('koa')
const { default: koaSession } = load('koa-session')
const { default: fastifySession } = load('@mgcrea/fastify-session')
const { default: nextSession } = load('next-session')
const { promisifyStore } = load('next-session/lib/compat')

type Adapter = (store: KnexSessionStore) => never

/** The session of a request, as far as the pages use one. */
interface Session {
  get(key: string): unknown
  set(key: string, value: unknown): void
  destroy(): unknown
}

/** Where requests wait, with the session they have loaded in their hands. */
class Gate {
  private waiting: (() => void)[] = []
  private watcher: (() => void) | undefined

  pass(): Promise<void> {
    return new Promise((resolve) => {
      this.waiting.push(resolve)
      this.watcher?.()
    })
  }

  /** Resolves when so many wait. */
  async arrived(count: number): Promise<void> {
    while (this.waiting.length < count) await new Promise<void>((resolve) => (this.watcher = resolve))
  }

  open(): void {
    for (const resolve of this.waiting.splice(0)) resolve()
  }
}

async function page(path: string, session: Session, gate: Gate): Promise<unknown> {
  if (path === '/login') session.set('user', 'ada')
  if (path === '/logout') {
    await session.destroy()
    return null
  }
  if (path.startsWith('/change/')) {
    await gate.pass()
    session.set(path.slice('/change/'.length), 1)
  }
  return { user: session.get('user') ?? null, cart: session.get('cart') ?? null, language: session.get('language') ?? null }
}

/** A site on the client named, with the adapter of the guide. */
type Opener = (store: KnexSessionStore, adapter: Adapter, gate: Gate) => Promise<{ url: string; close(): Promise<unknown> }>

async function listening(listener: Parameters<typeof createServer>[1]) {
  // An idle connection stays open: a visitor who sends on it as the server closes it would have no answer.
  const server = createServer({ keepAliveTimeout: 0 }, listener as never).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    }
  }
}

const CLIENTS: Record<string, Opener> = {
  async 'koa-session'(store, adapter, gate) {
    const app = new Koa()
    app.keys = ['a secret']
    app.use(koaSession({ store: adapter(store) }, app))
    app.use(async (context: { path: string; body: unknown; session: Record<string, unknown> | null }) => {
      const own = context
      const session: Session = {
        get: (key) => own.session?.[key],
        set: (key, value) => Object.assign(own.session as object, { [key]: value }),
        destroy: () => {
          own.session = null
        }
      }
      context.body = await page(context.path, session, gate)
    })
    return listening(app.callback())
  },

  async '@mgcrea/fastify-session'(store, adapter, gate) {
    const app = fastify()
    app.register(fastifyCookie)
    const options = { store: adapter(store), secret: 'a secret of at least thirty-two characters', cookie: { maxAge: 3600 } }
    app.register(fastifySession as never, { ...options, saveUninitialized: false })
    app.get('/*', (request) => page(request.url, request.session as unknown as Session, gate))
    return { url: await app.listen({ host: '127.0.0.1', port: 0 }), close: () => app.close() }
  },

  async 'next-session'(store, adapter, gate) {
    const getSession = nextSession({ store: adapter(store), cookie: { maxAge: 3600 } })
    return listening(async (request: IncomingMessage, response: ServerResponse) => {
      const own = await getSession(request, response)
      const session: Session = {
        get: (key) => own[key],
        set: (key, value) => {
          own[key] = value
        },
        destroy: () => own.destroy()
      }
      response.end(JSON.stringify(await page(request.url as string, session, gate)))
    })
  }
}

describe('the adapters of docs/clients.md', () => {
  const adapters: Record<string, Adapter> = { 'next-session': promisifyStore }
  let directory: string

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'knex-session-store-clients-'))
    const guide = await readFile(join(ROOT, 'docs/clients.md'), 'utf8')
    for (const [, file = '', code = ''] of guide.matchAll(/```js\n\/\/ (\S+)\n(.*?)```/gs)) {
      await writeFile(join(directory, file), code)
      const { forKoa, forMgcrea } = await import(pathToFileURL(join(directory, file)).href)
      if (forKoa) adapters['koa-session'] = forKoa
      if (forMgcrea) adapters['@mgcrea/fastify-session'] = forMgcrea
    }
  })
  afterAll(() => rm(directory, { recursive: true, force: true }))

  for (const [client, open] of Object.entries(CLIENTS)) {
    describeStores(`with ${client}`, (kind) => {
      async function site() {
        const opened = await openStore(kind)
        const gate = new Gate()
        const served = await open(opened.store, adapters[client] as Adapter, gate)
        return {
          opened,
          gate,
          visitor: () => new Visitor(served.url),
          async [Symbol.asyncDispose]() {
            await served.close()
            await opened[Symbol.asyncDispose]()
          }
        }
      }

      it('keep a session, and end it', async () => {
        await using opened = await site()
        const visitor = opened.visitor()
        await visitor.text('/login')
        expect(await visitor.json('/')).toMatchObject({ user: 'ada' })
        const thief = visitor.clone()
        await visitor.text('/logout')
        expect(await visitor.json('/')).toMatchObject({ user: null })
        expect(await thief.json('/')).toMatchObject({ user: null })
      })

      it('lose no update of two requests at once', async () => {
        await using opened = await site()
        for (let round = 0; round < ROUNDS; round++) {
          const visitor = opened.visitor()
          await visitor.text('/login')
          const changes = ['cart', 'language'].map((key) => visitor.clone().text(`/change/${key}`))
          await opened.gate.arrived(2)
          opened.gate.open()
          await Promise.all(changes)
          expect(await visitor.json('/')).toEqual({ user: 'ada', cart: 1, language: 1 })
        }
      })

      it.each(['logout', 'DELETE'])('leave a session ended that was ended during a slow request: by %s', async (how) => {
        await using opened = await site()
        const { knex, tableName } = opened.opened
        for (let round = 0; round < ROUNDS; round++) {
          const visitor = opened.visitor()
          await visitor.text('/login')
          const slow = visitor.clone().text('/change/cart')
          await opened.gate.arrived(1)
          if (how === 'logout') await visitor.clone().text('/logout')
          else await knex(tableName).delete()
          opened.gate.open()
          await slow
          expect(await visitor.json('/')).toMatchObject({ user: null, cart: null })
        }
      })
    })
  }
})
