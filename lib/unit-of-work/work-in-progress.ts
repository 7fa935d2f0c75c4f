import type { Knex } from 'knex'
import type { RowStream } from '../knex/knex-client'
import { afterAnswers } from '../runtime/event-loop'
import { NestedStillOpenError } from './errors'

/** The work that was begun in a unit and has not ended. The unit waits for it before it ends. */
export class WorkInProgress {
  readonly #all = new Set<Promise<unknown>>()
  readonly #sessionWrites = new Set<Promise<unknown>>()
  readonly #handles = new Set<Knex.Transaction>()
  #streams = 0

  /** True while there is work. */
  get isBusy(): boolean {
    return this.#all.size > 0
  }

  /** True while rows are read as a stream. */
  get isStreaming(): boolean {
    return this.#streams > 0
  }

  /** Adds work, and returns it. The unit waits for it before it commits. */
  add<T>(work: Promise<T>): Promise<T> {
    return track(work, this.#all)
  }

  /**
   * Adds a call of the session store. The unit also waits for it before it rolls back, because not all statements of the call go through
   * the scope.
   */
  addSessionWrite<T>(work: Promise<T>): Promise<T> {
    return this.add(track(work, this.#sessionWrites))
  }

  /** Adds a stream of rows. The unit waits for its end before it commits. */
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

  /** Resolves when all work has ended, also the work that this work began. */
  async quiet(): Promise<void> {
    while (this.isBusy) {
      await Promise.allSettled(this.#all)
      // Code that awaited this work may begin its next statement now.
      await new Promise<void>((resolve) => afterAnswers(resolve))
    }
  }

  /** Resolves when no call of the session store is in flight. */
  async withoutSessionWrites(): Promise<void> {
    while (this.#sessionWrites.size > 0) await Promise.allSettled(this.#sessionWrites)
  }
}

/** Adds `work` to the set `among` until it has ended. */
function track<T>(work: Promise<T>, among: Set<Promise<unknown>>): Promise<T> {
  among.add(work)
  const done = () => void among.delete(work)
  work.then(done, done)
  return work
}
