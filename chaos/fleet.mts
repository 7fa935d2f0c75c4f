import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Orders } from './site.process.mts'
import type { Contender } from './stores.mts'

/** How long a process has for an order, so that none is waited for without end. */
const ORDER_MS = 60_000
const STARTING_MS = 60_000
/** The folder that the runner ran in, which is nobody's business: results are published. */
const ABSOLUTE = /(?:file:\/\/)?\/[^\s"()]*?\/(?=(?:node_modules|chaos)\/)/g

type Argument<Order extends keyof Orders> = Parameters<Orders[Order]>[0]
type Result<Order extends keyof Orders> = Awaited<ReturnType<Orders[Order]>>

/** A process that serves the site. */
export class SiteProcess implements AsyncDisposable {
  readonly url: string
  readonly contender: Contender
  readonly #child: ChildProcess
  readonly #lastWords: () => string
  readonly #results = new Map<number, PromiseWithResolvers<unknown>>()
  #orders = 0

  private constructor(child: ChildProcess, contender: Contender, url: string, lastWords: () => string) {
    this.#child = child
    this.contender = contender
    this.url = url
    this.#lastWords = lastWords
    child.on('message', ({ id, result, error }: { id: number; result: unknown; error?: string }) => {
      if (error === undefined) this.#results.get(id)?.resolve(result)
      else this.#results.get(id)?.reject(new Error(error))
      this.#results.delete(id)
    })
    child.once('exit', () => {
      for (const { reject } of this.#results.values()) reject(new Error('the process has ended'))
    })
  }

  static async start(contender: Contender, environment: NodeJS.ProcessEnv = {}): Promise<SiteProcess> {
    const child = fork(join(import.meta.dirname, 'site.process.mts'), {
      execArgv: [],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: { ...plainEnvironment(), ...environment }
    })
    let printed = ''
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      printed = (printed + chunk).slice(-5_000)
    })
    const timer = setTimeout(() => child.kill('SIGKILL'), STARTING_MS)
    const ended = once(child, 'exit').then(() => {
      throw new Error(`a process of the site ended before it served: ${printed}`)
    })
    child.send(contender)
    const [{ serving }] = (await Promise.race([once(child, 'message'), ended])) as [{ serving: string }]
    clearTimeout(timer)
    ended.catch(() => undefined)
    return new SiteProcess(child, contender, serving, () => printed)
  }

  /** Whether an error that nothing caught has ended it. */
  get died(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  get lastWords(): string {
    return this.#lastWords().replace(ABSOLUTE, '')
  }

  async order<Order extends keyof Orders>(order: Order, argument?: Argument<Order>): Promise<Result<Order>> {
    if (this.died) throw new Error('the process has ended')
    const id = ++this.#orders
    const result = Promise.withResolvers<unknown>()
    this.#results.set(id, result)
    const timer = setTimeout(() => result.reject(new Error(`the process did not ${order} in time`)), ORDER_MS)
    this.#child.send({ id, order, argument })
    try {
      return (await result.promise) as Result<Order>
    } finally {
      clearTimeout(timer)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.died) return
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await ended
  }
}

function plainEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(VITEST|NODE_OPTIONS$|NODE_ENV$|TSX|ESBK)/.test(name)))
}
