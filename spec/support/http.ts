import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'

/** An application that listens on a port of its own. */
export interface ServedApp extends AsyncDisposable {
  readonly url: string
  readonly server: Server
}

/**
 * Serves an application (Express, or any node:http listener) on a free port of 127.0.0.1.
 *
 * @example
 * ```ts
 * await using site = await serve(app)
 * const visitor = new Visitor(site.url)
 * await visitor.post('/login', { name: 'ada' })
 * expect(await visitor.text('/whoami')).toBe('ada')
 * ```
 */
export async function serve(listener: RequestListener): Promise<ServedApp> {
  // An idle connection stays open: a visitor who sends on it as the server closes it would have no answer.
  const server = createServer({ keepAliveTimeout: 0 }, listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server has no port')
  return {
    url: `http://127.0.0.1:${address.port}`,
    server,
    async [Symbol.asyncDispose]() {
      if (!server.listening) return
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    }
  }
}

const REDIRECTS_TO_FOLLOW = 10

/** A browser of a few lines: keeps cookies by name, also those set on the way through a redirect, which fetch alone would lose. */
export class Visitor {
  /** The cookies as they are sent: name to value, still encoded. */
  readonly cookies = new Map<string, string>()

  constructor(readonly url: string) {}

  /** A second visitor with the same cookies at this moment: another tab, or a thief. */
  clone(): Visitor {
    return this.at(this.url)
  }

  /** The same visitor after the site has moved. */
  at(url: string): Visitor {
    const clone = new Visitor(url)
    for (const [name, value] of this.cookies) clone.cookies.set(name, value)
    return clone
  }

  get(path: string, init: RequestInit = {}): Promise<Response> {
    return this.request(path, init)
  }

  /** Sends a body as JSON. */
  post(path: string, body: unknown = {}, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers)
    headers.set('content-type', 'application/json')
    return this.request(path, { ...init, method: 'POST', body: JSON.stringify(body), headers })
  }

  /** The body of a page; an answer that is not 2xx is an error. */
  async text(path: string, init: RequestInit = {}): Promise<string> {
    const response = await this.request(path, init)
    const text = await response.text()
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${text}`)
    return text
  }

  /** `text`, parsed. */
  async json<T = unknown>(path: string, init: RequestInit = {}): Promise<T> {
    return JSON.parse(await this.text(path, init)) as T
  }

  /** Follows redirects, unless `redirect: 'manual'`. */
  async request(path: string, init: RequestInit = {}): Promise<Response> {
    let target = new URL(path, this.url)
    let { method = 'GET', body = null } = init
    for (let redirects = 0; redirects <= REDIRECTS_TO_FOLLOW; redirects++) {
      const response = await fetch(target, { ...init, method, body, headers: this.#headers(init.headers), redirect: 'manual' })
      this.#keep(response)
      const location = response.headers.get('location')
      if (init.redirect === 'manual' || location === null || response.status < 300 || response.status > 399) return response
      await response.arrayBuffer()
      target = new URL(location, target)
      if (response.status !== 307 && response.status !== 308) {
        method = 'GET'
        body = null
      }
    }
    throw new Error(`${path} redirects for ever`)
  }

  #headers(given: RequestInit['headers']): Headers {
    const headers = new Headers(given)
    if (this.cookies.size > 0) headers.set('cookie', [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; '))
    return headers
  }

  #keep(response: Response): void {
    for (const line of response.headers.getSetCookie()) {
      const [pair = '', ...attributes] = line.split(';')
      const [name = '', ...value] = pair.trim().split('=')
      if (attributes.some(isInThePast)) this.cookies.delete(name)
      else this.cookies.set(name, value.join('='))
    }
  }
}

function isInThePast(attribute: string): boolean {
  const [name = '', value = ''] = attribute.trim().split('=')
  if (/^max-age$/i.test(name)) return Number(value) <= 0
  return /^expires$/i.test(name) && Date.parse(value) <= Date.now()
}
