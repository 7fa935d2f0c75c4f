import { randomBytes } from 'node:crypto'
import type { Knex } from 'knex'
import { vi } from 'vitest'
import type { KnexSessionStore, KnexSessionStoreOptions } from '../../lib'
import type { Database, OpenDatabase } from '../support/databases'
import type { Processes } from './follow'
import { Requests } from './requests.mts'
import { beforeLogOut, homeOf, type Outcome, ownerOf, type Step, TTL_MS } from './steps.mts'
import { ageTheDead, expiriesOf } from './table'

/** Lets a statement of a process leave when it is its turn. */
export type Gate = () => Promise<unknown>

/**
 * Several processes with one database, as far as one process can play them: each has a copy of the package and a Knex of its own.
 * Under `vi.useFakeTimers({ toFake: ['Date'] })`.
 */
export class World implements Processes, AsyncDisposable {
  gate: Gate | undefined
  readonly #processes: Requests[] = []
  readonly #homes = new Map<number, number>()
  #sessionIds: string[] = []

  private constructor(private readonly database: OpenDatabase) {}

  static async open(kind: Database, options: readonly Partial<KnexSessionStoreOptions>[]): Promise<World> {
    const world = new World(await kind.open())
    try {
      for (const option of options) world.#processes.push(new Requests(await world.#openStore(option)))
      await world.#processes[0]?.store.ready()
      return world
    } catch (error) {
      await world[Symbol.asyncDispose]()
      throw error
    }
  }

  async #openStore(options: Partial<KnexSessionStoreOptions>): Promise<KnexSessionStore> {
    // Nothing of a module's own state is shared: not the order of writes, not the batches, not what is known of a session object.
    vi.resetModules()
    const { KnexSessionStore } = await import('../../lib/index.ts')
    const knex = this.database.connect()
    this.#delayStatements(knex)
    return new KnexSessionStore({ knex, pruneIntervalMs: false, touchAfterMs: 0, ttlSeconds: TTL_MS / 1000, owner: ownerOf, ...options })
  }

  /** One of the processes. */
  process(index: number): Requests {
    return this.#processes[index] as Requests
  }

  get processes(): number {
    return this.#processes.length
  }

  async begin(): Promise<void> {
    this.#homes.clear()
    for (const process of this.#processes) process.forget()
    await this.database.knex('sessions').del()
    this.#sessionIds = Array.from({ length: 2 }, () => randomBytes(12).toString('hex'))
  }

  async perform(step: Step, now: number): Promise<Outcome> {
    vi.setSystemTime(now)
    await beforeLogOut(step)
    if (step.does === 'prune') await ageTheDead(this.database.knex, now)
    return this.#processOf(step).perform(step, this.#sessionIds)
  }

  /** All at once. Events are given by process: which step they belong to cannot be seen. */
  async together(steps: readonly Step[]): Promise<{ outcomes: Omit<Outcome, 'events'>[]; events: string[][] }> {
    const outcomes = await Promise.all(steps.map((step) => this.#processOf(step).attempt(step, this.#sessionIds)))
    return { outcomes, events: await Promise.all(this.#processes.map((process) => process.takeEvents())) }
  }

  expiries(now: number): Promise<number[]> {
    return expiriesOf(this.database.knex, now)
  }

  homeOf(step: Step): number {
    return homeOf(step, this.#homes)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.gate = undefined
    await Promise.all(this.#processes.map(({ store }) => store.close()))
    await this.database[Symbol.asyncDispose]()
  }

  #processOf(step: Step): Requests {
    return this.process(this.homeOf(step))
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
