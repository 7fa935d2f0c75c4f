import type { Knex } from 'knex'
import type { Intent } from '../dialects/work-dialect'
import { type Connection, clientOf, type KnexClient, type KnexContainer, type RowStream } from '../knex/knex-client'
import { afterAnswers } from '../runtime/after-answers'
import { awaitWithin, type Frame } from './context'
import { NestedStillOpenError } from './errors'
import type { Place } from './place'
import { isWrite, type Scope } from './scope'
import { streamClientOf } from './stream-client'

/** What the place of a unit calls on the unit. */
export interface UnitOfPlace {
  /** The client of the pool. */
  readonly pool: KnexClient
  /** Throws if the unit takes no more statements. */
  assertAdmits(): void
  /** The unit's transaction, begun if it has not been; `intent` is that of the statement which needs it. */
  open(intent: Intent): Promise<Scope>
  /** The frame of the code in a transaction nested in the unit's. */
  frameOf(nested: Knex.Transaction): Frame
}

/** The transaction of a unit as builders see it, and the work in progress there. */
export class UnitPlace implements Place {
  readonly #pending = new Set<Promise<unknown>>()
  readonly #sessionWrites = new Set<Promise<unknown>>()
  readonly #handles = new Set<Knex.Transaction>()
  #streams = 0

  constructor(private readonly unit: UnitOfPlace) {}

  /** True while something that was begun here has not ended. */
  get isBusy(): boolean {
    return this.#pending.size > 0
  }

  /** True while rows are read as a stream. */
  get isStreaming(): boolean {
    return this.#streams > 0
  }

  async run<T>(work: (client: KnexClient) => Promise<T>, method?: string): Promise<T> {
    this.unit.assertAdmits()
    return this.pend(this.#run(work, isWrite(method) ? 'write' : 'any'))
  }

  streamClient(): KnexClient {
    this.unit.assertAdmits()
    return streamClientOf(this.unit.pool, () => this.#client())
  }

  streamed(rows: RowStream): void {
    this.#streams++
    const closed = new Promise<void>((resolve) => rows.once('close', resolve).once('error', () => resolve()))
    void this.pend(closed).then(() => this.#streams--)
  }

  /** A nested transaction. A transaction given to a function that is not awaited is a handle: other code has to end it. */
  transaction(container: KnexContainer, config: object | undefined): Promise<unknown> {
    this.unit.assertAdmits()
    let known: () => void = () => undefined
    this.pend(
      new Promise<void>((resolve) => {
        known = resolve
      })
    )
    const outcome = this.unit.open('any').then(({ trx }) =>
      trx.transaction((nested) => {
        const result = awaitWithin(this.unit.frameOf(nested), () => container(nested))
        if (!(result instanceof Promise)) {
          this.#hold(nested)
          known()
        }
        return result as Promise<unknown>
      }, config)
    )
    outcome.then(known, known)
    return outcome
  }

  async acquireConnection(): Promise<Connection> {
    this.unit.assertAdmits()
    return (await this.#client()).acquireConnection()
  }

  async releaseConnection(): Promise<void> {
    // The unit keeps its connection until it ends.
  }

  /** Something the unit waits for before it commits. */
  pend<T>(work: Promise<T>): Promise<T> {
    return track(work, this.#pending)
  }

  /** The same for a call of the session store. The unit also waits for it before it rolls back: its statements do not all go by the scope. */
  pendSessionWrite<T>(work: Promise<T>): Promise<T> {
    return this.pend(track(work, this.#sessionWrites))
  }

  /** Resolves when all has ended that was begun here, and what that led to. */
  async quiet(): Promise<void> {
    while (this.isBusy) {
      await Promise.allSettled(this.#pending)
      // The code that waited for these may begin the next statement now.
      await new Promise<void>((resolve) => afterAnswers(resolve))
    }
  }

  /** Resolves when no call of the session store is under way here any more. */
  async withoutSessionWrites(): Promise<void> {
    while (this.#sessionWrites.size > 0) await Promise.allSettled(this.#sessionWrites)
  }

  /** @throws {NestedStillOpenError} if a transaction that was given out has not been ended. */
  refuseHandles(): void {
    if (this.#handles.size > 0) throw new NestedStillOpenError(this.#handles.size)
  }

  async #run<T>(work: (client: KnexClient) => Promise<T>, intent: Intent): Promise<T> {
    const scope = await this.unit.open(intent)
    try {
      return await work(clientOf(scope.trx))
    } catch (error) {
      // Knex has given the statement up, which may still be running there.
      if ((error as Error | undefined)?.name === 'KnexTimeoutError') await scope.fail(error)
      throw error
    }
  }

  async #client(): Promise<KnexClient> {
    return clientOf((await this.unit.open('any')).trx)
  }

  #hold(nested: Knex.Transaction): void {
    this.#handles.add(nested)
    const done = () => void this.#handles.delete(nested)
    nested.executionPromise.then(done, done)
  }
}

/** Keeps `work` in `under` until it has ended. */
function track<T>(work: Promise<T>, under: Set<Promise<unknown>>): Promise<T> {
  under.add(work)
  const done = () => void under.delete(work)
  work.then(done, done)
  return work
}
