import { Caller } from '../calls/caller'
import { Deadlines } from '../calls/deadlines'
import { TimeoutError } from '../database-errors'
import { afterThisTurn } from '../runtime/event-loop'
import { afterTick, monotonicNow, startAwaitedTimer, type Timer } from '../runtime/natives'
import type { ConnectionBudget, Waiting } from './connection-budget'
import { Entry } from './entry'
import { Flights } from './flights'
import { type BatchRules, takeBatch } from './next-batch'
import { areStragglers, chooseNext, HOLD_MS, type RowLimits, rowsOfNext } from './next-statement'
import { Queue } from './queue'
import { Sender, type SenderOptions } from './sender'

/** What a lane is made with. */
export interface LaneOptions<Item, Result> extends SenderOptions<Item, Result>, Omit<BatchRules<Item>, 'maxRows' | 'maxBytes'>, RowLimits {
  readonly idOf: (item: Item) => string
  readonly maxBatchBytes: number
  /** How many slow statements may be in flight in addition to `maxInFlight`. */
  readonly spare: number
  readonly budget: ConnectionBudget
}

/**
 * Sends the calls of one kind, many in one statement. At most `maxInFlight` statements are in flight; slow ones do not count. Calls that
 * arrive meanwhile go into the next statement. A call that is alone is sent at once.
 *
 * Each caller gets a promise of its own. So the code after its `await` runs in the caller's own async context.
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

  /** @param caller the call ends when this caller gives up; without a caller, it ends after the time that a caller would have */
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

  /**
   * Pumps after this tick. The callers that one statement woke up make their next calls within the same tick, and these calls belong in one
   * statement.
   */
  private schedule(): void {
    if (this.scheduled || this.flights.isFull) return
    this.scheduled = true
    afterTick(() => {
      this.scheduled = false
      this.pump()
    })
  }

  /** Sends statements as long as {@link chooseNext} says so. */
  private pump(): void {
    // A database in this process has its result before `sendNext` returns. Such a result must not pump again, because the calls would nest
    // deeper and deeper.
    if (this.pumping) return
    this.pumping = true
    let choice = chooseNext(this.queue.length, this.flights)
    while (choice === 'send' && this.sendNext()) choice = chooseNext(this.queue.length, this.flights)
    if (choice === 'hold') this.holding ??= startAwaitedTimer(() => this.sendHeld(), HOLD_MS)
    this.pumping = false
  }

  private sendHeld(): void {
    this.holding = undefined
    if (chooseNext(this.queue.length, this.flights) !== 'wait') this.sendNext()
  }

  /** Returns false if no connection is free now. Then the budget calls {@link proceed} when one is free. */
  private sendNext(): boolean {
    const { budget } = this.options
    // A statement that is sent beside slow ones leaves one connection to the other lanes. Otherwise all connections could wait for the same
    // locks.
    if (!budget.take(this, this.flights.hasSlow ? 1 : 0)) return false
    const { maxBatchBytes: maxBytes, sizeOf, sameId } = this.options
    const maxRows = rowsOfNext(this.queue.length, this.flights, this.options)
    const batch = takeBatch(this.queue, { maxRows, maxBytes, sizeOf, sameId })
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

  /** @param rows the number of rows of the statement that has just ended */
  private continueAfter(rows: number): void {
    if (this.queue.length === 0) return
    if (areStragglers(this.queue.length, rows)) afterThisTurn(() => this.pump())
    else this.pump()
  }
}

/** Stands for the caller of a call that was submitted without one. */
class Nobody extends Caller {
  override expire(): void {
    this.giveUp()
  }
}
