import type { Caller } from '../calls/caller'
import { monotonicNow } from '../runtime/natives'
import type { ConnectionBudget, Waiting } from './connection-budget'
import { Queue, type Queued } from './queue'

/** How many milliseconds a statement waits for a locked row. This is short, because the other rows of the statement are not locked. */
export const LOCK_WAIT_MS = 50
/**
 * How many milliseconds a part of a split statement waits, if the statement had a locked row. So the locked row is found soon, and the
 * other rows are done.
 */
export const SPLIT_LOCK_WAIT_MS = 2
/** How many milliseconds one turn waits for a locked row. Then other rows get a turn, and those that are not locked any more are done. */
const TURN_MS = 250
/** The same if the store may have one connection only, because all other calls wait for this connection. */
const SHORT_TURN_MS = 60
/**
 * No turn ends in the last milliseconds before a caller gives up. Then the server ends the waiting statement, and this process does not
 * have to.
 */
const TOO_LATE_MS = 50

/** A call whose row is locked. */
export interface LockedCall extends Queued {
  readonly caller: Caller
  /**
   * Sends the call once more, alone, and waits for the row for at most `lockWaitMs`. `ended` is called before any caller has its result.
   */
  waitForLock(lockWaitMs: number, ended: () => void): void
}

/**
 * The calls whose rows are locked by other transactions. One connection of a Knex waits for these rows, in turns. So all other connections
 * are free for the other calls, however many rows are locked.
 */
export class LockedRows implements Waiting {
  private readonly queue = new Queue<LockedCall>()
  private isBusy = false

  constructor(private readonly budget: ConnectionBudget) {}

  /** How many calls wait for their turn. */
  get waiting(): number {
    return this.queue.length
  }

  add(call: LockedCall): void {
    this.queue.push(call)
    this.proceed()
  }

  /** Called by the budget when a connection is free again. */
  proceed(): void {
    if (this.isBusy || this.queue.length === 0) return
    if (this.budget.take(this)) this.waitForNext()
  }

  private waitForNext(): void {
    const call = this.nextInTime()
    if (call === undefined) {
      this.budget.giveBack()
      return
    }
    this.isBusy = true
    const turnMs = this.budget.isOfOne ? SHORT_TURN_MS : TURN_MS
    const restMs = call.caller.due - monotonicNow() - TOO_LATE_MS
    call.waitForLock(Math.max(SHORT_TURN_MS, Math.min(turnMs, restMs)), () => {
      this.isBusy = false
      this.budget.giveBack()
      this.proceed()
    })
  }

  /** Leaves out the calls whose callers give up soon. */
  private nextInTime(): LockedCall | undefined {
    for (let call = this.queue.shift(); call !== undefined; call = this.queue.shift()) {
      if (call.caller.due - monotonicNow() > SHORT_TURN_MS + TOO_LATE_MS) return call
    }
    return undefined
  }
}
