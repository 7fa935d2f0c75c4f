import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import type { Knex } from 'knex'
import type { OpenDatabase } from '../support/databases'
import { type ProcessResult, runProcesses } from '../support/processes'
import type { Processes } from './follow'
import type { Instruction } from './requests.worker.mts'
import { beforeLogOut, homeOf, type Outcome, type Step } from './steps.mts'
import { ageTheDead, expiriesOf } from './table'

interface Waiting {
  readonly answer: (instruction: Instruction) => void
}

/** The same with real processes. Each asks, over loopback, what to do next, and says what came of the last step. */
export class Children implements Processes, AsyncDisposable {
  readonly #waiting: (Waiting | undefined)[] = []
  readonly #reports: ((outcome: Outcome) => void)[] = []
  readonly #homes = new Map<number, number>()
  // An idle connection stays open: a process that sends on it as the server closes it would have no answer.
  readonly #server = createServer({ keepAliveTimeout: 0 }, (request, response) => void this.#serve(request, response))
  readonly #knex: Knex
  #results: Promise<ProcessResult<undefined>[]> = Promise.resolve([])
  #sessionIds: string[] = []

  private constructor(
    readonly processes: number,
    database: OpenDatabase
  ) {
    this.#knex = database.knex
  }

  static async start(database: OpenDatabase, processes: number): Promise<Children> {
    const children = new Children(processes, database)
    await new Promise<void>((resolve) => children.#server.listen(0, '127.0.0.1', resolve))
    const { port } = children.#server.address() as AddressInfo
    const inputs = Array.from({ length: processes }, (_, process) => ({
      config: database.config,
      url: `http://127.0.0.1:${port}/${process}`
    }))
    const come = inputs.map((_, process) => new Promise((resolve) => (children.#reports[process] = resolve)))
    children.#results = runProcesses(join(__dirname, 'requests.worker.mts'), inputs, { timeoutMs: 600_000 })
    const ended = children.#results.then((results) => {
      throw new Error(`a process ended before its time: ${JSON.stringify(results)}`)
    })
    ended.catch(() => undefined)
    await Promise.race([Promise.all(come), ended])
    return children
  }

  async begin(): Promise<void> {
    this.#homes.clear()
    await this.#knex('sessions').del()
    this.#sessionIds = Array.from({ length: 2 }, () => randomBytes(12).toString('hex'))
  }

  async perform(step: Step, now: number): Promise<Outcome> {
    await beforeLogOut(step)
    if (step.does === 'prune') await ageTheDead(this.#knex, now)
    return this.#instruct(homeOf(step, this.#homes), { step, now, sessionIds: this.#sessionIds })
  }

  expiries(now: number): Promise<number[]> {
    return expiriesOf(this.#knex, now)
  }

  /** Ends the processes, and fails if one has failed or has to be killed. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const waiting of this.#waiting) waiting?.answer({ end: true })
    const results = await this.#results
    this.#server.close()
    this.#server.closeAllConnections()
    const failed = results.filter(({ error, exitCode }) => error !== undefined || exitCode !== 0)
    if (failed.length > 0) throw new Error(`processes failed: ${JSON.stringify(failed)}`)
  }

  #instruct(process: number, instruction: Instruction): Promise<Outcome> {
    return new Promise((resolve) => {
      this.#reports[process] = resolve
      this.#waiting[process]?.answer(instruction)
    })
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const process = Number(request.url?.slice(1))
    const outcome = (await json(request)) as Outcome
    this.#waiting[process] = { answer: (instruction) => response.end(JSON.stringify(instruction)) }
    this.#reports[process]?.(outcome)
  }
}
