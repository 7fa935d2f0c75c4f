// Starts the application as a process of its own and visits it as browsers do. Only smoke.mjs needs this file; it is the same in all recipes.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

/** Runs the checks against the application, prints the outcome, and sets the exit code. Ctrl-C has to end the application by itself. */
export async function smoke(args, checks, env = {}) {
  const child = spawn(process.execPath, args, { env: { ...process.env, PORT: '0', ...env }, stdio: ['ignore', 'pipe', 'inherit'] })
  const exit = once(child, 'exit')
  const output = []
  try {
    const address = await new Promise((resolve, reject) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        output.push(line)
        const found = /http:\/\/[\w.]+:\d+/.exec(line)
        if (found) resolve(found[0])
      })
      exit.then(([code]) => reject(new Error(`the application ended with ${code} before it printed its address`)), reject)
    })
    await checks({ address, output, visitor: () => new Visitor(address) })
    child.kill('SIGINT')
    const [code] = await Promise.race([exit, once(AbortSignal.timeout(10_000), 'abort')])
    if (code !== 0) throw new Error('the application did not end by itself after SIGINT')
    console.log('ok')
  } catch (error) {
    console.error(error)
    console.error(output.join('\n'))
    process.exitCode = 1
  } finally {
    child.kill('SIGKILL')
  }
}

/** A browser: it keeps cookies and follows redirects. */
class Visitor {
  #cookies = new Map()
  #address

  constructor(address) {
    this.#address = address
  }

  get cookie() {
    return [...this.#cookies].map((pair) => pair.join('=')).join('; ')
  }

  /** Another browser with the same cookies: a stolen session, or a second tab. */
  clone() {
    const other = new Visitor(this.#address)
    for (const [name, value] of this.#cookies) other.#cookies.set(name, value)
    return other
  }

  /** Gets a page, or posts a form to it. Returns the status and the text of the page where the redirects end. */
  async visit(path, form) {
    let url = new URL(path, this.#address)
    let request = form && { method: 'POST', body: new URLSearchParams(form) }
    for (let hops = 0; hops < 10; hops++) {
      const response = await fetch(url, {
        ...request,
        headers: { cookie: this.cookie },
        redirect: 'manual',
        signal: AbortSignal.timeout(30_000)
      })
      for (const cookie of response.headers.getSetCookie()) this.#keep(cookie)
      const text = await response.text()
      const location = response.headers.get('location')
      if (location === null) return { status: response.status, text }
      url = new URL(location, url)
      request = undefined
    }
    throw new Error(`${path} redirects without end`)
  }

  #keep(cookie) {
    const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie)
    if (value === '') this.#cookies.delete(name)
    else this.#cookies.set(name, value)
  }
}
