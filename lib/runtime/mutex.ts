import { nothing } from './nothing'

/**
 * Runs one piece of work at a time, in the order of arrival. So nothing runs on a connection between a failed statement and its undoing.
 */
export class Mutex {
  #last: Promise<unknown> = Promise.resolve()

  /** Runs `work` when all earlier work has settled. Later work waits until the promise of `work` has settled. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work)
    // Whether the work succeeded concerns only its caller.
    this.#last = result.then(nothing, nothing)
    return result
  }
}
