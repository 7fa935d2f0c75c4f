import { Caller } from '../calls/caller'
import { Deadlines } from '../calls/deadlines'
import { TimeoutError } from '../database-errors'
import { afterThisTurn } from '../runtime/after-answers'
import { afterTick, monotonicNow, startAwaitedTimer, type Timer } from '../runtime/natives'
import type { ConnectionBudget, Waiting } from './connection-budget'
import { Entry } from './entry'
import { Flights } from './flights'
import { type BatchRules, takeBatch } from './next-batch'
import { Queue } from './queue'
import { Sender, type SenderOptions } from './sender'

/** Two statements keep both sides busy; more of them are smaller, and cost more than they gain. */
const WORTH_SPLITTING_FOR = 2
/** While a statement is under way, fewer than this part of its rows wait for it, or for more to come … */
const STRAGGLERS = 1 / 4
/** … but no longer than this: it may take long. */
const HOLD_MS = 3

/** What a lane needs to know. */
export interface LaneOptions<Item, Result> extends SenderOptions<Item, Result>, Omit<BatchRules<Item>, 'maxRows' | 'maxBytes'> {
  readonly idOf: (item: Item) => string
  readonly maxBatch: number
  readonly maxBatchBytes: number
  /** Fewer rows are not worth a statement of their own where others wait. */
  readonly smallBatch: number
  /** Statements in flight at once, … */
  readonly maxInFlight: number
  /** … not counting so many slow ones. */
  readonly spare: number
  readonly budget: ConnectionBudget
}

/**
 * Calls of one kind, many in one statement. At most `maxInFlight` statements, not counting slow ones, are under way; what
 * arrives meanwhile goes in the next one.
 * Alone, a call leaves at once. Each caller gets its own promise, so that what follows runs in the caller's own async context.
 */
export class Lane<Item, Result> implements Waiting {
  private readonly queue = new Queue<Entry<Item, Result>>()
  private readonly sender: Sender<Item, Result>
  private readonly flights: Flights
  private readonly deadlines: Deadlines
  private scheduled = false
  private pumping = false
  private holding: Timer | undefined

  constructor(private readonly options: LaneOptions<Item, Result>) {
    this.flights = new Flights(options.maxInFlight, options.spare, () => this.pump())
    this.sender = new Sender(options)
    this.deadlines = new Deadlines(options.timeoutMs)
  }

  /** How many calls wait for a statement. */
  get waiting(): number {
    return this.queue.length
  }

  /** @param caller with whom the call is given up; without one the lane gives it a caller's time */
  submit(item: Item, caller?: Caller): Promise<Result> {
    if (caller === undefined) return this.submitAlone(item)
    if (caller.hasGivenUp) {
      const { operation, timeoutMs } = this.options
      return Promise.reject(new TimeoutError(operation, timeoutMs, caller.outcome))
    }
    return new Promise((resolve, reject) => {
      this.queue.push(new Entry(this.sender, item, this.options.idOf(item), caller, resolve, reject))
      this.schedule()
    })
  }

  private submitAlone(item: Item): Promise<Result> {
    const caller = new Nobody()
    this.deadlines.add(caller, monotonicNow())
    const answer = this.submit(item, caller)
    const forget = () => {
      if (!caller.hasGivenUp) this.deadlines.remove(caller)
    }
    answer.then(forget, forget)
    return answer
  }

  /** Called by the budget when a connection is free again. */
  proceed(): void {
    this.pump()
  }

  /** Not in this tick: the callers that one result woke up all ask within the same tick, and belong in one statement. */
  private schedule(): void {
    if (this.scheduled || this.flights.isFull) return
    this.scheduled = true
    afterTick(() => {
      this.scheduled = false
      this.pump()
    })
  }

  /** Sends what is worth a statement now. */
  private pump(): void {
    // A database in this process answers before `sendNext` returns; that must not pump again, deeper and deeper.
    if (this.pumping) return
    this.pumping = true
    while (this.queue.length > 0 && !this.flights.isFull) {
      if (this.queue.length < this.flights.rows * STRAGGLERS) {
        this.holding ??= startAwaitedTimer(() => this.sendHeld(), HOLD_MS)
        break
      }
      if (!this.sendNext()) break
    }
    this.pumping = false
  }

  private sendHeld(): void {
    this.holding = undefined
    if (this.queue.length > 0 && !this.flights.isFull) this.sendNext()
  }

  /** False if no connection may be had now. */
  private sendNext(): boolean {
    const { budget } = this.options
    // What goes beside slow ones leaves a connection to other lanes, which would wait for the same otherwise.
    if (!budget.take(this, this.flights.hasSlow ? 1 : 0)) return false
    const { maxBatchBytes: maxBytes, sizeOf, sameId } = this.options
    const batch = takeBatch(this.queue, { maxRows: this.fairShare(), maxBytes, sizeOf, sameId })
    if (this.queue.length === 0 && this.holding !== undefined) {
      this.holding.stop()
      this.holding = undefined
    }
    const flight = this.flights.begin(batch.length)
    this.sender.send(batch, () => {
      this.flights.end(flight)
      budget.giveBack()
      this.continueAfter(flight.rows)
    })
    return true
  }

  /** A few who wait while many are about to be answered go together with what those will ask next. */
  private continueAfter(rows: number): void {
    if (this.queue.length === 0) return
    if (this.queue.length >= rows * STRAGGLERS) this.pump()
    else afterThisTurn(() => this.pump())
  }

  /**
   * How many of those who wait go in the next statement. Not all of them while another statement may go at the same time: then this
   * process and the database would take turns at being idle. Nor many more than are under way: uneven statements stay uneven.
   */
  private fairShare(): number {
    const { maxBatch, smallBatch, maxInFlight } = this.options
    if (maxInFlight === 1) return maxBatch
    return Math.min(maxBatch, Math.max(smallBatch, Math.ceil((this.queue.length + this.flights.rows) / WORTH_SPLITTING_FOR)))
  }
}

/** Stands for a caller of whom the lane does not know. */
class Nobody extends Caller {
  override expire(): void {
    this.giveUp()
  }
}
