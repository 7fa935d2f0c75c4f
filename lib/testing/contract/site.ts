import { Agent, createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import session, { type Session, type SessionData, type SessionOptions, type Store } from 'express-session'
import { within } from './waiting'

/** A request as a route sees it: what express-session put there, and the parameters of its address. */
export interface SiteRequest extends IncomingMessage {
  session: Session & SessionData & Record<string, unknown>
  sessionID: string
  query: URLSearchParams
}

/** Answers with what it returns, as JSON. */
export type Route = (request: SiteRequest) => unknown

/** What came back to the browser. */
export interface Page {
  status: number
  // biome-ignore lint/suspicious/noExplicitAny: each route answers something else, and each spec knows what
  body: any
  /** The `Set-Cookie` line of the session cookie, if there was one. */
  setCookie: string | undefined
}

/** The part of a callback API that the routes need as a promise: `req.session.save`, `reload`, `regenerate`, `destroy`. */
export function done(work: (callback: (error?: unknown) => void) => unknown): Promise<void> {
  return new Promise((resolve, reject) => {
    work((error) => (error ? reject(error) : resolve()))
  })
}

/** A browser as far as sessions go: it keeps one cookie. */
export class Visitor {
  cookie: string | undefined

  constructor(readonly port: number) {}

  /** Opens a page, and keeps the session cookie it sets. */
  async open(path: string): Promise<Page> {
    const page = await within(4_000, `expected ${path} to answer`, this.#send(path))
    if (page.setCookie) this.cookie = page.setCookie.split(';')[0]
    return page
  }

  /** Another tab of the same browser. */
  tab(): Visitor {
    const tab = new Visitor(this.port)
    tab.cookie = this.cookie
    return tab
  }

  #send(path: string): Promise<Page> {
    return new Promise((resolve, reject) => {
      const headers = this.cookie ? { cookie: this.cookie } : {}
      const sent = request({ host: '127.0.0.1', port: this.port, path, headers, agent: new Agent({ keepAlive: false }) }, (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => {
          text += chunk
        })
        response.on('error', reject)
        response.on('end', () => {
          resolve({ status: response.statusCode ?? 0, body: text && JSON.parse(text), setCookie: response.headers['set-cookie']?.[0] })
        })
      })
      sent.on('error', reject)
      sent.end()
    })
  }
}

/** Serves `routes` behind the real express-session on a free port of this machine while `visit` runs. */
export async function withSite(
  store: Store,
  options: Partial<SessionOptions>,
  routes: Record<string, Route>,
  visit: (newVisitor: () => Visitor) => Promise<void>
): Promise<void> {
  const sessions = session({ secret: 'contract', resave: false, saveUninitialized: false, ...options, store }) as unknown as (
    request: IncomingMessage,
    response: ServerResponse,
    next: (error?: unknown) => void
  ) => void
  const server = createServer((request, response) => {
    const fail = (error: unknown) => {
      if (response.headersSent) response.destroy()
      else response.writeHead(500).end(JSON.stringify(String(error)))
    }
    sessions(request, response, (error) => {
      if (error) fail(error)
      else respond(request as SiteRequest, response, routes).catch(fail)
    })
  })
  const port = await listen(server)
  try {
    await visit(() => new Visitor(port))
  } finally {
    server.closeAllConnections()
    await done((callback) => server.close(callback))
  }
}

async function respond(request: SiteRequest, response: ServerResponse, routes: Record<string, Route>): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://localhost')
  request.query = url.searchParams
  const body = JSON.stringify((await routes[url.pathname]?.(request)) ?? null)
  response.setHeader('content-length', Buffer.byteLength(body))
  response.end(body)
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}
