import type { Caller } from '../calls/caller'
import { monotonicNow } from '../runtime/natives'
import type { ConnectionBudget, Waiting } from './connection-budget'
import { Queue, type Queued } from './queue'

/** Milliseconds that a statement waits for a locked row: not long, because its other rows are not locked. */
export const LOCK_WAIT_MS = 50
/** Milliseconds that a part of a statement waits which had a locked row: the row is found soon, and the others are done. */
export const SPLIT_LOCK_WAIT_MS = 2
/** Milliseconds that a locked row is waited for in one go, so that others which are not locked any more get their turn. */
const TURN_MS = 250
/** The same where the store may have one connection only, which the others wait for. */
const SHORT_TURN_MS = 60
/** No turn ends in the last milliseconds before a caller gives up: then the server, and not this process, ends the statement that waits. */
const TOO_LATE_MS = 50

/** A call whose row is locked. */
export interface LockedCall extends Queued {
  readonly caller: Caller
  /** Tries once more, alone, and waits for the row for at most `lockWaitMs`. `ended` is called before any caller has its result. */
  waitForLock(lockWaitMs: number, ended: () => void): void
}

/**
 * The calls whose rows other transactions have locked. One connection of a Knex waits for them, in turns. So however many rows are locked,
 * the other connections are free for the other calls.
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

  /** Leaves out calls whose callers will give up soon. */
  private nextInTime(): LockedCall | undefined {
    for (let call = this.queue.shift(); call !== undefined; call = this.queue.shift()) {
      if (call.caller.due - monotonicNow() > SHORT_TURN_MS + TOO_LATE_MS) return call
    }
    return undefined
  }
}
