import { randomBytes } from 'node:crypto'
import type { Knex } from 'knex'
import { vi } from 'vitest'
import type { KnexSessionStoreOptions } from '../../lib'
import type { Database, OpenDatabase } from '../support/databases'
import { Requests } from './requests.mts'
import { type Outcome, type Step, TTL_MS } from './steps.mts'

/** Lets a statement of a process leave when it is its turn. */
export type Gate = () => Promise<unknown>

/** Several processes with one database, as far as one process can play them: each has a copy of the package and a Knex of its own. */
export class World implements AsyncDisposable {
  gate: Gate | undefined
  readonly #processes: Requests[] = []
  readonly #homes = new Map<number, number>()
  #sessionIds: string[] = []

  private constructor(private readonly database: OpenDatabase) {}

  static async open(kind: Database, options: readonly Partial<KnexSessionStoreOptions>[]): Promise<World> {
    const world = new World(await kind.open())
    for (const option of options) {
      // Nothing of a module's own state is shared: not the order of writes, not the batches, not what is known of a session object.
      vi.resetModules()
      const { KnexSessionStore } = await import('../../lib/index.ts')
      const knex = world.database.connect()
      world.#delayStatements(knex)
      world.#processes.push(
        new Requests(new KnexSessionStore({ knex, pruneIntervalMs: false, touchAfterMs: 0, ttlSeconds: TTL_MS / 1000, ...option }))
      )
    }
    await world.#processes[0]?.store.ready()
    return world
  }

  get processes(): number {
    return this.#processes.length
  }

  /** An empty table and new session ids. */
  async begin(now: number): Promise<void> {
    vi.setSystemTime(now)
    this.#homes.clear()
    for (const process of this.#processes) process.forget()
    await this.database.knex('sessions').del()
    this.#sessionIds = Array.from({ length: 3 }, () => randomBytes(12).toString('hex'))
  }

  async perform(step: Step): Promise<Outcome> {
    if (step.does === 'prune') await this.#age()
    return this.#processOf(step).perform(step, this.#sessionIds)
  }

  /** All at once. Events are given by process: which step they belong to cannot be seen. */
  async together(steps: readonly Step[]): Promise<{ outcomes: Omit<Outcome, 'events'>[]; events: string[][] }> {
    const outcomes = await Promise.all(steps.map((step) => this.#processOf(step).attempt(step, this.#sessionIds)))
    return { outcomes, events: await Promise.all(this.#processes.map((process) => process.takeEvents())) }
  }

  /** Of live sessions, as the rows have it. */
  async expiries(now: number): Promise<number[]> {
    const rows = (await this.database.knex('sessions').where('expires_at', '>', now).select('expires_at')) as { expires_at: unknown }[]
    return rows.map(({ expires_at }) => Number(expires_at)).sort((a, b) => a - b)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.gate = undefined
    await Promise.all(this.#processes.map(({ store }) => store.close()))
    await this.database[Symbol.asyncDispose]()
  }

  /** The process that a step is done in: a request stays where it began. */
  homeOf(step: Step): number {
    if ('process' in step) {
      if ('request' in step) this.#homes.set(step.request, step.process)
      return step.process
    }
    return 'request' in step ? (this.#homes.get(step.request) ?? 0) : 0
  }

  #processOf(step: Step): Requests {
    return this.#processes[this.homeOf(step)] as Requests
  }

  /** Pruning goes by the database's clock, which no spec can move: so the dead rows are moved instead, beyond the grace. */
  async #age(): Promise<void> {
    await this.database.knex('sessions').where('expires_at', '<=', Date.now()).update({ expires_at: 1, expires_hour: 1 })
  }

  #delayStatements(knex: Knex): void {
    const { client } = knex
    const acquireConnection = client.acquireConnection
    client.acquireConnection = async () => {
      await this.gate?.()
      return acquireConnection.call(client)
    }
  }
}
