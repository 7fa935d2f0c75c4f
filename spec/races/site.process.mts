// A process of the site: the same pages by four applications (Express with resave off and on, Fastify, and express-openid-connect), on one
// store for Express and one for each of the others, as applications have them; where sessions are in the memory of a store, on one for all.
// Nothing here listens for unhandled errors: what would end a user's process ends this one.
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import fastifyCookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import express from 'express'
import { auth } from 'express-openid-connect'
import session, { type Store } from 'express-session'
import fastify, { type FastifyInstance } from 'fastify'
import { arrivedAt, openGate, pages, type Visit } from './pages.mjs'
import { type Contender, openStore } from './stores.mjs'

const secret = 'a secret of at least thirty-two characters'

function expressApp(store: Store, resave: boolean): RequestListener {
  const app = express()
  app.use(session({ store, secret, resave, saveUninitialized: false, cookie: { maxAge: 3_600_000 } }))
  servePages(app, (request) => ({
    session: request.session as unknown as Visit['session'],
    sid: request.sessionID,
    destroy: () => new Promise((resolve, reject) => request.session.destroy((error) => (error ? reject(error) : resolve())))
  }))
  return app
}

interface OpenidRequest extends IncomingMessage {
  newSid?: string
  appSession?: Visit['session'] | undefined
}

/** Nobody signs in: the pages do to the session what a sign-in would. The issuer is asked for what it is all the same. */
async function openidApp(store: Store): Promise<RequestListener> {
  const app = express()
  app.use(
    auth({
      issuerBaseURL: await issuer(),
      baseURL: 'http://localhost',
      clientID: 'site',
      secret,
      authRequired: false,
      // The pages have these paths.
      routes: { login: false, logout: false },
      session: { store: store as never, genid: nameSession as () => string }
    })
  )
  servePages(app, (request) => ({
    session: (request as unknown as OpenidRequest).appSession as Visit['session'],
    sid: (request as unknown as OpenidRequest).newSid ?? /appSession=([^;]+)/.exec(request.headers.cookie ?? '')?.[1] ?? '',
    destroy: async () => {
      const openid = request as unknown as OpenidRequest
      openid.appSession = undefined
    }
  }))
  return app
}

function nameSession(request: OpenidRequest): string {
  request.newSid = randomUUID()
  return request.newSid
}

/** An OpenID Connect issuer as far as it says what it is. */
async function issuer(): Promise<string> {
  let url = ''
  const metadata = () => ({
    issuer: url,
    authorization_endpoint: `${url}/authorize`,
    token_endpoint: `${url}/token`,
    jwks_uri: `${url}/jwks`,
    response_types_supported: ['id_token'],
    response_modes_supported: ['form_post'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256']
  })
  url = await listen((_request, response) => {
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify(metadata()))
  })
  return url
}

function servePages(app: express.Express, visitOf: (request: express.Request) => Omit<Visit, 'query'>): void {
  for (const [path, page] of Object.entries(pages)) {
    app.get(path, async (request, response) => {
      const body = await page({ ...visitOf(request), query: new URL(request.url, 'http://localhost').searchParams })
      if (isRedirect(body)) response.redirect(body.redirect)
      else response.json(body ?? null)
    })
  }
  // Express's own prints each error.
  app.use(((_error, _request, response, _next) => {
    if (response.headersSent) response.destroy()
    else response.status(500).end()
  }) satisfies express.ErrorRequestHandler)
}

function fastifyApp(store: Store): FastifyInstance {
  const app = fastify()
  app.register(fastifyCookie)
  app.register(fastifySession, { store: store as never, secret, saveUninitialized: false, cookie: { secure: false, maxAge: 3_600_000 } })
  for (const [path, page] of Object.entries(pages)) {
    app.get(path, async (request, reply) => {
      const body = await page({
        session: request.session as unknown as Visit['session'],
        sid: request.session.sessionId,
        query: new URL(request.url, 'http://localhost').searchParams,
        destroy: () => request.session.destroy()
      })
      return isRedirect(body) ? reply.redirect(body.redirect) : reply.type('application/json').send(JSON.stringify(body ?? null))
    })
  }
  return app
}

function isRedirect(body: unknown): body is { redirect: string } {
  return typeof body === 'object' && body !== null && 'redirect' in body
}

/** What the races need to know and to steer, past the sessions. */
function control(store: Store): RequestListener {
  return async (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost')
    const name = searchParams.get('name') ?? ''
    if (pathname === '/arrived') await arrivedAt(name)
    else if (pathname === '/open') openGate(name)
    const exists = pathname === '/exists' ? await isThere(store, name) : undefined
    response.end(JSON.stringify(exists ?? null))
  }
}

function isThere(store: Store, sid: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    store.get(sid, (error, found) => (error ? reject(error) : resolve(Boolean(found))))
  })
}

async function listen(listener: RequestListener): Promise<string> {
  // An idle connection stays open: a browser that sends on it as the server closes it would have no answer.
  const server = createServer({ keepAliveTimeout: 0 }, listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

process.send?.('booted')
const [contender] = (await once(process, 'message')) as [Contender]
const store = await openStore(contender)
const another = () => (contender.database === 'memory' ? store : openStore(contender))
process.send?.({
  express: await listen(expressApp(store, false)),
  resaving: await listen(expressApp(store, true)),
  fastify: await fastifyApp(await another()).listen({ host: '127.0.0.1', port: 0 }),
  openid: await listen(await openidApp(await another())),
  control: await listen(control(store))
})
