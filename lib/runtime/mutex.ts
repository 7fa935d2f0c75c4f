import { nothing } from './nothing'

/** Runs one piece of work at a time, in the order they came. On a connection, nothing gets between a failed statement and its undoing. */
export class Mutex {
  #last: Promise<unknown> = Promise.resolve()

  /** Runs `work` when all that came before it has settled, and keeps the others waiting until its promise is settled. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work)
    // Whether the work succeeded concerns only its caller.
    this.#last = result.then(nothing, nothing)
    return result
  }
}
