import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Contender } from './stores.mjs'

/** Where the applications of one process answer. */
export interface Addresses {
  readonly express: string
  /** Express with `resave: true`. */
  readonly resaving: string
  readonly fastify: string
  /** Express with express-openid-connect, whose sessions are its own. */
  readonly openid: string
  readonly control: string
}

export type Application = 'express' | 'resaving' | 'fastify' | 'openid'

const here = import.meta.dirname ?? dirname(fileURLToPath(import.meta.url))

/** A process that serves the site. */
export class Site implements AsyncDisposable {
  readonly addresses: Addresses
  readonly #process: ChildProcess
  readonly #errors: () => string

  private constructor(child: ChildProcess, addresses: Addresses, errors: () => string) {
    this.#process = child
    this.addresses = addresses
    this.#errors = errors
  }

  /** Rejects if the process ends before it serves. */
  static async start(contender: Contender): Promise<Site> {
    const serve = await Site.boot()
    return serve(contender)
  }

  /** A process with all its modules loaded, that makes its store when it is told to: for several that are to do so at the same moment. */
  static async boot(): Promise<(contender: Contender) => Promise<Site>> {
    const child = fork(join(here, 'site.process.mts'), {
      execArgv: ['--import', pathToFileURL(join(here, 'resolve-mts.mjs')).href],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: plainEnvironment()
    })
    let errors = ''
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      errors = (errors + chunk).slice(-20_000)
    })
    const ended = once(child, 'exit').then(() => {
      throw new Error(`a process of the site ended before it served:\n${errors}`)
    })
    await Promise.race([once(child, 'message'), ended])
    return async (contender) => {
      child.send(contender)
      const [addresses] = (await Promise.race([once(child, 'message'), ended])) as [Addresses]
      ended.catch(() => undefined)
      return new Site(child, addresses, () => errors)
    }
  }

  /** Whether the process is gone: an error that nothing caught has ended it. */
  get died(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null
  }

  /** What the process printed as it died, without the folder it ran in: the results are published. */
  get lastWords(): string {
    return this.#errors().replaceAll(`${process.cwd()}/`, '')
  }

  url(application: Application, path: string, query: Record<string, string | number> = {}): string {
    const url = new URL(path, this.addresses[application])
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, String(value))
    return url.href
  }

  /** Resolves when a request has loaded its session and stands at the gate. */
  async arrived(gate: string): Promise<void> {
    await this.#control('/arrived', gate)
  }

  async open(gate: string): Promise<void> {
    await this.#control('/open', gate)
  }

  /** Asks the store of this process, without touching the session. */
  async exists(sid: string): Promise<boolean> {
    return (await this.#control('/exists', sid)) === true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.died) return
    const ended = once(this.#process, 'exit')
    // Not asked to close: a peer may not be able to, and what it leaves open dies with it.
    this.#process.kill('SIGKILL')
    await ended
  }

  async #control(path: string, name: string): Promise<unknown> {
    const response = await fetch(`${this.addresses.control}${path}?name=${encodeURIComponent(name)}`)
    return response.json()
  }
}

function plainEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(VITEST|NODE_OPTIONS$|NODE_ENV$|TEST$|VITE_)/.test(name)))
}
