import type { Caller, Undertaking } from '../calls/caller'
import { TimeoutError } from '../database-errors'
import type { StatementBounds } from '../knex/statement-bounds'
import type { LockedCall } from './locked-rows'
import type { Queue, Queued } from './queue'

/** What an entry knows of its lane. */
export interface LaneOfEntry<Item, Result> {
  /** For messages. */
  readonly operation: string
  readonly timeoutMs: number
  /** See {@link LockedCall}. */
  waitForLock(entry: Entry<Item, Result>, lockWaitMs: number, ended: () => void): void
}

/** One call of a lane, from its beginning to its result. It waits in a queue, or is in a statement, or waits to be sent again. */
export class Entry<Item, Result> implements Undertaking, LockedCall {
  isOver = false
  before: Undertaking | undefined = undefined
  /** The queue in which it waits, and its neighbours in this queue. */
  queue: Queue<Queued> | undefined = undefined
  previous: Queued | undefined = undefined
  next: Queued | undefined = undefined
  /** Other entries that get the same result. */
  twins: Entry<Item, Result>[] | undefined = undefined
  private bounds: StatementBounds | undefined = undefined
  /** True once a statement with this entry has lost its connection. */
  private mayBeWritten = false

  constructor(
    readonly lane: LaneOfEntry<Item, Result>,
    readonly item: Item,
    readonly id: string,
    readonly caller: Caller,
    private readonly succeed: (result: Result) => void,
    private readonly fail: (error: unknown) => void
  ) {
    caller.begin(this)
  }

  waitForLock(lockWaitMs: number, ended: () => void): void {
    this.lane.waitForLock(this, lockWaitMs, ended)
  }

  /** Called when the entry goes into a statement. */
  depart(bounds: StatementBounds): void {
    this.bounds = bounds
    this.caller.outcome = 'unknown'
  }

  /** Called when its statement has failed. */
  comeBack(isUnknown: boolean): void {
    if (this.bounds?.hasBegun) this.caller.wasSent = true
    this.bounds = undefined
    this.mayBeWritten ||= isUnknown
    if (!this.mayBeWritten) this.caller.outcome = 'not-written'
  }

  resolve(result: Result): void {
    this.isOver = true
    this.succeed(result)
  }

  reject(error: unknown): void {
    this.isOver = true
    this.fail(error)
  }

  /** An entry that is in a statement waits for the end of this statement. */
  giveUp(): void {
    if (this.bounds !== undefined) {
      this.bounds.leave(this)
      return
    }
    this.queue?.remove(this)
    this.rejectLate()
  }

  neverSent(): void {
    this.bounds = undefined
    this.rejectLate()
  }

  /** Returns false if the caller has given the entry up. The caller has got its error then. */
  isStillWanted(): boolean {
    if (!this.isOver && this.caller.hasGivenUp) this.rejectLate()
    return !this.isOver
  }

  rejectLate(): void {
    const { operation, timeoutMs } = this.lane
    this.reject(new TimeoutError(operation, timeoutMs, this.mayBeWritten ? 'unknown' : 'not-written'))
  }
}
