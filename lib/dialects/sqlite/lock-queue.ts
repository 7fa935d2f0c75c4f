import { DatabaseLockedError, TimeoutError } from '../../database-errors'
import type { Database } from '../../knex/database'
import { Waits } from '../../knex/waits'
import { monotonicNow, startAwaitedTimer } from '../../runtime/natives'
import { driverCode } from '../dialect'

/** Milliseconds between two tries. Most locks are held for a moment only. The last pause is used again for all further tries. */
const PAUSES_MS = [1, 2, 5, 10, 15, 20]

/** True for an error that the lock of another connection caused. */
export function isLockError(error: unknown): boolean {
  return /^SQLITE_(BUSY|LOCKED)/.test(driverCode(error) ?? '')
}

/** Resolves after a pause that is longer after each try. The pause is random, so that processes that collided do not collide again. */
export function pauseAfter(tries: number): Promise<void> {
  const ms = PAUSES_MS[Math.min(tries, PAUSES_MS.length) - 1] as number
  return new Promise((resolve) => startAwaitedTimer(resolve, ms * (0.5 + Math.random())))
}

/**
 * The statements of one Knex that wait for a lock. Only the first of them tries again and again, while the event loop goes on. The others
 * follow in the order of their arrival, each as soon as the one before is over.
 */
export class LockQueue {
  /** The functions that tell each waiting statement that it is the first one now. */
  private readonly waiting: (() => void)[] = []

  get isEmpty(): boolean {
    return this.waiting.length === 0
  }

  /**
   * Tries until the attempt succeeds, until it fails for another reason, or until the time of a statement is over.
   *
   * @param attempt gets the moment at which its time is over, by `monotonicNow()`
   * @param firstFailure the error of a first try, if there was one
   */
  async run<T>(db: Database, attempt: (until: number) => Promise<T>, firstFailure?: unknown): Promise<T> {
    let failure = firstFailure
    const since = monotonicNow()
    const until = since + db.waitMs
    const tooLate = (operation: string, dialect = db.client.driverName, waitedMs = Math.round(monotonicNow() - since)) =>
      new DatabaseLockedError(operation, dialect, driverCode(failure), waitedMs)
    const isOver = Waits.of(db.client).begin(tooLate)
    await this.turn()
    try {
      for (let tries = failure === undefined ? 0 : 1; ; tries++) {
        if (tries > 0) await pauseAfter(tries)
        if (monotonicNow() >= until) throw tooLate('statement')
        try {
          return await attempt(until)
        } catch (error) {
          // Nothing waits for this statement any more, and the lock is the reason.
          if (error instanceof TimeoutError) throw tooLate('statement')
          if (!isLockError(error)) throw error
          failure = error
        }
      }
    } finally {
      isOver()
      this.waiting.shift()
      this.waiting[0]?.()
    }
  }

  private turn(): Promise<void> {
    return new Promise((resolve) => {
      this.waiting.push(resolve)
      if (this.waiting.length === 1) resolve()
    })
  }
}
