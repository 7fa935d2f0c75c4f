import { Agent, type IncomingMessage, request } from 'node:http'

/** What became of a request. Status 0: no answer, because the connection broke or the time ran out. */
export interface Answer {
  status: number
  // biome-ignore lint/suspicious/noExplicitAny: each page answers something else
  body: any
  tookMs: number
}

export interface OpenOptions {
  /** @default 30_000 */
  timeoutMs?: number
  /** The origin that redirects lead to, where a load balancer would choose another process. @default the one that redirects */
  redirectTo?: string
}

const agent = new Agent({ keepAlive: true })

/**
 * A browser as far as races go: it keeps the session cookie, and follows a redirect as soon as the head of the answer has come, as browsers do.
 * A client that reads the body first waits for the store, because express-session holds back the last byte until the session is saved.
 */
export class Browser {
  cookie: string | undefined

  constructor(cookie?: string) {
    this.cookie = cookie
  }

  /** Another tab. */
  tab(): Browser {
    return new Browser(this.cookie)
  }

  async open(url: string, { timeoutMs = 30_000, redirectTo = url }: OpenOptions = {}): Promise<Answer> {
    const began = performance.now()
    const took = () => Math.round(performance.now() - began)
    try {
      const signal = AbortSignal.timeout(timeoutMs)
      let response = await this.#send(url, signal)
      while (response.headers.location && (response.statusCode === 302 || response.statusCode === 303)) {
        const target = new URL(response.headers.location, redirectTo).href
        // Read, but not waited for. A redirect whose end never comes is no concern of the page after it.
        text(response).catch(() => undefined)
        response = await this.#send(target, signal)
      }
      const body = await text(response)
      return { status: response.statusCode ?? 0, body: parse(body), tookMs: took() }
    } catch (error) {
      return { status: 0, body: String(error), tookMs: took() }
    }
  }

  #send(url: string, signal: AbortSignal): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const headers = this.cookie ? { cookie: this.cookie } : {}
      const sent = request(url, { agent, headers, signal }, (response) => {
        const [line] = response.headers['set-cookie'] ?? []
        if (line) this.cookie = line.split(';')[0]
        resolve(response)
      })
      sent.on('error', reject)
      sent.end()
    })
  }
}

function text(response: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    let body = ''
    response.setEncoding('utf8')
    response.on('data', (chunk: string) => {
      body += chunk
    })
    response.on('end', () => resolve(body))
    response.on('error', reject)
  })
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    return body
  }
}
