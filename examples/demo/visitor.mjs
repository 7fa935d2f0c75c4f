import { Agent, request } from 'node:http'

const agent = new Agent({ keepAlive: true })

/** A browser as far as a shop goes: it keeps the session cookie, and sends real requests. */
export class Visitor {
  cookie

  constructor(address, cookie) {
    this.address = address
    this.cookie = cookie
  }

  /** Another tab: the same cookie. */
  tab() {
    return new Visitor(this.address, this.cookie)
  }

  /** The session id in the cookie: `shop=s:<id>.<signature>`. */
  get sessionId() {
    return decodeURIComponent(this.cookie.split('=')[1]).slice(2).split('.')[0]
  }

  /** Resolves with `{ status, body }`; status 0 if there was no response. */
  send(method, path) {
    return new Promise((resolve) => {
      const headers = this.cookie === undefined ? {} : { cookie: this.cookie }
      const sent = request(this.address + path, { method, headers, agent }, (response) => {
        const [line] = response.headers['set-cookie'] ?? []
        if (line !== undefined) this.cookie = line.split(';')[0]
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (chunk) => {
          text += chunk
        })
        response.on('error', () => resolve({ status: 0, body: {} }))
        response.on('end', () => resolve({ status: response.statusCode, body: parsed(text) }))
      })
      sent.on('error', () => resolve({ status: 0, body: {} }))
      sent.end()
    })
  }

  async signIn() {
    this.cookie = undefined
    const { status, body } = await this.send('POST', '/sign-in')
    if (status !== 200) throw new Error(`the shop did not let a visitor sign in: ${body.message ?? 'no response'}`)
    return this
  }
}

function parsed(text) {
  try {
    return JSON.parse(text)
  } catch {
    // An error page, say: the status tells.
    return {}
  }
}
