import { DatabaseError, DatabaseUnreachableError, ReadOnlyDatabaseError, TimeoutError, TransientDatabaseError } from '../errors'
import { afterTick, monotonicNow, startAwaitedTimer, type Timer } from '../natives'
import { isPromiseLike, type Soon } from '../soon'
import { afterThisTurn } from '../turns'
import { DatabaseLockedError, PoolExhaustedError } from '../waiting-errors'
import type { ConnectionBudget, Waiting } from './connection-budget'
import { Flights } from './flights'

/** How often a statement is tried that others made fail, or whose connection broke. */
const MAX_TRIES = 5
const BACKOFF_MS = 10

/** Two statements keep both sides busy; more of them are smaller, and cost more than they gain. */
const WORTH_SPLITTING_FOR = 2
/** While a statement is under way, fewer than this part of its rows wait for it, or for more to come … */
const STRAGGLERS = 1 / 4
/** … but no longer than this: it may take long. */
const HOLD_MS = 3

/** What a lane needs to know. */
export interface LaneOptions<Item, Result> {
  /** For messages. */
  readonly operation: string
  /** Runs one statement for all items and answers for each, in order. No two items have the same id. */
  readonly run: (items: Item[]) => Soon<readonly Result[]>
  readonly idOf: (item: Item) => string
  /** What of those that have the same id goes in one statement: the first, and the others later; or one for all, who share its answer. */
  readonly sameId: 'in-turn' | 'shared'
  /** Bytes, about: so that a few large rows make a statement of their own. */
  readonly sizeOf: (item: Item) => number
  readonly maxBatch: number
  readonly maxBatchBytes: number
  /** Fewer rows are not worth a statement of their own where others wait. */
  readonly smallBatch: number
  /** Statements in flight at once, … */
  readonly maxInFlight: number
  /** … not counting so many slow ones. */
  readonly spare: number
  readonly budget: ConnectionBudget
  /** What has waited longer was given up by its caller, and is not sent any more. */
  readonly timeoutMs: number
}

interface Entry<Item, Result> {
  readonly item: Item
  readonly id: string
  readonly since: number
  readonly resolve: (result: Result) => void
  readonly reject: (error: unknown) => void
  /** Those who share its answer. */
  twins: Entry<Item, Result>[] | undefined
}

/**
 * Calls of one kind, many in one statement. At most `maxInFlight` statements, not counting slow ones, are under way; what
 * arrives meanwhile goes in the next one.
 * Alone, a call leaves at once. Each caller gets its own promise, so that what follows runs in the caller's own async context.
 */
export class Lane<Item, Result> implements Waiting {
  private queue: Entry<Item, Result>[] = []
  private readonly flights: Flights
  private scheduled = false
  private pumping = false
  private holding: Timer | undefined

  constructor(private readonly options: LaneOptions<Item, Result>) {
    this.flights = new Flights(options.maxInFlight, options.spare, () => this.pump())
  }

  /** How many calls wait for a statement. */
  get waiting(): number {
    return this.queue.length
  }

  submit(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.queue.push({ item, id: this.options.idOf(item), since: monotonicNow(), resolve, reject, twins: undefined })
      this.schedule()
    })
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

  /** False if nothing could be sent: no connection may be had now, or nobody is left who waits. */
  private sendNext(): boolean {
    const { budget } = this.options
    // What goes beside slow ones leaves a connection to other lanes, which would wait for the same otherwise.
    if (!budget.take(this, this.flights.hasSlow ? 1 : 0)) return false
    const batch = this.nextBatch()
    if (this.queue.length === 0 && this.holding !== undefined) {
      this.holding.stop()
      this.holding = undefined
    }
    if (batch.length === 0) {
      budget.giveBack()
      return false
    }
    const flight = this.flights.begin(batch.length)
    this.send(batch, 1, () => {
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

  private nextBatch(): Entry<Item, Result>[] {
    const now = monotonicNow()
    if (this.queue.length === 1) {
      const alone = this.queue
      this.queue = []
      return this.rejectIfLate(alone[0] as Entry<Item, Result>, now) ? [] : alone
    }
    const { maxBatchBytes, sizeOf, sameId } = this.options
    const maxBatch = this.fairShare()
    const batch: Entry<Item, Result>[] = []
    const held: Entry<Item, Result>[] = []
    // A map for each batch. One that lived on, through whose buckets all calls pass, would keep old answers from being collected early.
    const firstOf = new Map<string, Entry<Item, Result>>()
    let bytes = 0
    let taken = 0
    for (const entry of this.queue) {
      if (batch.length >= maxBatch) break
      const size = sizeOf(entry.item)
      if (batch.length > 0 && bytes + size > maxBatchBytes) break
      taken++
      if (this.rejectIfLate(entry, now)) continue
      const first = firstOf.get(entry.id)
      if (first === undefined) {
        firstOf.set(entry.id, entry)
        bytes += size
        batch.push(entry)
      } else if (sameId === 'shared') {
        first.twins ??= []
        first.twins.push(entry)
      } else held.push(entry)
    }
    this.queue = taken === this.queue.length ? held : [...held, ...this.queue.slice(taken)]
    // The same order in every process: two statements that lock the same rows in different orders block each other.
    return sameId === 'in-turn' && batch.length > 1 ? batch.sort((a, b) => (a.id < b.id ? -1 : 1)) : batch
  }

  /** @param ended called before anybody is answered: what waits may be sent while they look at their answers */
  private send(batch: Entry<Item, Result>[], tries: number, ended: () => void): void {
    const answered = (results: readonly Result[]) => {
      ended()
      for (let index = 0; index < batch.length; index++) {
        const entry = batch[index] as Entry<Item, Result>
        const result = results[index] as Result
        entry.resolve(result)
        if (entry.twins !== undefined) for (const twin of entry.twins) twin.resolve(result)
      }
    }
    const failed = (error: unknown) => this.recover(batch, error, tries, ended)
    let results: Soon<readonly Result[]>
    try {
      results = this.options.run(batch.map(({ item }) => item))
    } catch (error) {
      failed(error)
      return
    }
    if (isPromiseLike(results)) results.then(answered, failed)
    else answered(results)
  }

  private recover(batch: Entry<Item, Result>[], error: unknown, tries: number, ended: () => void): void {
    // It has waited for as long as its callers do.
    const isOver = error instanceof DatabaseLockedError || error instanceof PoolExhaustedError
    const isWorthAnother = error instanceof TransientDatabaseError || (error instanceof DatabaseUnreachableError && tries < 3)
    const again = isWorthAnother && !isOver
    if (again && tries < MAX_TRIES) {
      // Jitter: those who collided must not meet again.
      startAwaitedTimer(() => this.sendAgain(batch, tries + 1, ended), BACKOFF_MS * tries * (0.5 + Math.random()))
      return
    }
    const allRowsFault = isOver || again || error instanceof DatabaseUnreachableError || error instanceof ReadOnlyDatabaseError
    const oneRowsFault = error instanceof DatabaseError && !allRowsFault
    if (batch.length > 1 && oneRowsFault) {
      // One poisoned row fails alone.
      const middle = batch.length >> 1
      this.send(batch.slice(0, middle), MAX_TRIES, () => this.send(batch.slice(middle), MAX_TRIES, ended))
      return
    }
    ended()
    for (const { reject } of batch.flatMap(withTwins)) reject(error)
  }

  private sendAgain(batch: Entry<Item, Result>[], tries: number, ended: () => void): void {
    const now = monotonicNow()
    const waiting = batch.flatMap((entry) => {
      const [first, ...twins] = withTwins(entry).filter((one) => !this.rejectIfLate(one, now))
      if (first === undefined) return []
      first.twins = twins
      return [first]
    })
    if (waiting.length > 0) this.send(waiting, tries, ended)
    else ended()
  }

  /** True for one whose caller has a TimeoutError already: nothing is sent whose result would be thrown away. */
  private rejectIfLate({ since, reject }: Entry<Item, Result>, now: number): boolean {
    const { operation, timeoutMs } = this.options
    if (since >= now - timeoutMs) return false
    reject(new TimeoutError(operation, timeoutMs))
    return true
  }
}

function withTwins<Item, Result>(entry: Entry<Item, Result>): Entry<Item, Result>[] {
  return entry.twins === undefined ? [entry] : [entry, ...entry.twins]
}
