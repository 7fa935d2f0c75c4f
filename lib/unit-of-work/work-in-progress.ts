import type { Knex } from 'knex'
import type { RowStream } from '../knex/knex-client'
import { afterAnswers } from '../runtime/event-loop'
import { NestedStillOpenError } from './errors'

/** What was begun in a unit and has not ended. The unit waits for it before it ends. */
export class WorkInProgress {
  readonly #all = new Set<Promise<unknown>>()
  readonly #sessionWrites = new Set<Promise<unknown>>()
  readonly #handles = new Set<Knex.Transaction>()
  #streams = 0

  /** True while there is any. */
  get isBusy(): boolean {
    return this.#all.size > 0
  }

  /** True while rows are read as a stream. */
  get isStreaming(): boolean {
    return this.#streams > 0
  }

  /** Adds what the unit waits for before it commits, and returns it. */
  add<T>(work: Promise<T>): Promise<T> {
    return track(work, this.#all)
  }

  /**
   * The same for a call of the session store. The unit waits for it also before it rolls back, because not all of the call's statements go
   * through the scope.
   */
  addSessionWrite<T>(work: Promise<T>): Promise<T> {
    return this.add(track(work, this.#sessionWrites))
  }

  /** The same for a stream of rows. */
  addStream(rows: RowStream): void {
    this.#streams++
    const closed = new Promise<void>((resolve) => rows.once('close', resolve).once('error', () => resolve()))
    void this.add(closed).then(() => this.#streams--)
  }

  /** Adds a nested transaction that other code has to end. The unit does not wait for it: see `refuseHandles`. */
  addHandle(nested: Knex.Transaction): void {
    this.#handles.add(nested)
    const done = () => void this.#handles.delete(nested)
    nested.executionPromise.then(done, done)
  }

  /** @throws {NestedStillOpenError} if a handle has not been ended. */
  refuseHandles(): void {
    if (this.#handles.size > 0) throw new NestedStillOpenError(this.#handles.size)
  }

  /** Resolves when all of it has ended, and what that led to. */
  async quiet(): Promise<void> {
    while (this.isBusy) {
      await Promise.allSettled(this.#all)
      // The code that waited for these may begin the next statement now.
      await new Promise<void>((resolve) => afterAnswers(resolve))
    }
  }

  /** Resolves when no call of the session store is under way any more. */
  async withoutSessionWrites(): Promise<void> {
    while (this.#sessionWrites.size > 0) await Promise.allSettled(this.#sessionWrites)
  }
}

/** Keeps `work` in `among` until it has ended. */
function track<T>(work: Promise<T>, among: Set<Promise<unknown>>): Promise<T> {
  among.add(work)
  const done = () => void among.delete(work)
  work.then(done, done)
  return work
}
