import { DatabaseError, DatabaseUnreachableError, ReadOnlyDatabaseError, TimeoutError, TransientDatabaseError } from '../errors'
import type { ConnectionBudget, Waiting } from './connection-budget'

/** How often a statement is tried that others made fail, or whose connection broke. */
const MAX_TRIES = 5
const BACKOFF_MS = 10

/** Two statements keep both sides busy; more of them are smaller, and cost more than they gain. */
const WORTH_SPLITTING_FOR = 2
/** Fewer rows are not worth a statement of their own. */
const SMALL_BATCH = 16

/** What a lane needs to know. */
export interface LaneOptions<Item, Result> {
  /** For messages. */
  readonly operation: string
  /** Runs one statement for all items and answers for each, in order. No two items have the same id. */
  readonly run: (items: Item[]) => Promise<readonly Result[]>
  readonly idOf: (item: Item) => string
  /** Told of each item that waits no more: it is sent, or was given up. */
  readonly leaving?: (item: Item) => void
  /** Bytes, about: so that a few large rows make a statement of their own. */
  readonly sizeOf: (item: Item) => number
  readonly maxBatch: number
  readonly maxBatchBytes: number
  /** Statements in flight at once. */
  readonly maxInFlight: number
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
}

/**
 * Calls of one kind, many in one statement. At most `maxInFlight` statements are under way; what arrives meanwhile goes in the next one.
 * Alone, a call leaves at once. Each caller gets its own promise, so that what follows runs in the caller's own async context.
 */
export class Lane<Item, Result> implements Waiting {
  private queue: Entry<Item, Result>[] = []
  private inFlight = 0
  private scheduled = false

  constructor(private readonly options: LaneOptions<Item, Result>) {}

  /** How many calls wait for a statement. */
  get waiting(): number {
    return this.queue.length
  }

  submit(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.queue.push({ item, id: this.options.idOf(item), since: performance.now(), resolve, reject })
      this.schedule()
    })
  }

  /** Called by the budget when a connection is free again. */
  proceed(): void {
    this.pump()
  }

  /** Not in this tick: the callers that one result woke up all ask within the same tick, and belong in one statement. */
  private schedule(): void {
    if (this.scheduled || this.inFlight >= this.options.maxInFlight) return
    this.scheduled = true
    process.nextTick(() => {
      this.scheduled = false
      this.pump()
    })
  }

  private pump(): void {
    while (this.queue.length > 0 && this.inFlight < this.options.maxInFlight) {
      if (!this.options.budget.take(this)) return
      const batch = this.nextBatch()
      if (batch.length === 0) {
        this.options.budget.giveBack()
        return
      }
      this.inFlight++
      this.send(batch, 1).finally(() => {
        this.inFlight--
        this.options.budget.giveBack()
        this.pump()
      })
    }
  }

  /**
   * How many of those who wait go in the next statement. Not all of them while another statement may go at the same time: then this
   * process and the database would take turns at being idle.
   */
  private fairShare(): number {
    const { maxBatch, maxInFlight } = this.options
    const free = Math.min(WORTH_SPLITTING_FOR, maxInFlight) - this.inFlight
    if (free <= 1) return maxBatch
    return Math.min(maxBatch, Math.max(SMALL_BATCH, Math.ceil(this.queue.length / free)))
  }

  private nextBatch(): Entry<Item, Result>[] {
    const { maxBatchBytes, sizeOf } = this.options
    const maxBatch = this.fairShare()
    const batch: Entry<Item, Result>[] = []
    const held: Entry<Item, Result>[] = []
    const ids = new Set<string>()
    const now = performance.now()
    let bytes = 0
    let taken = 0
    for (const entry of this.queue) {
      if (batch.length >= maxBatch) break
      const size = sizeOf(entry.item)
      if (batch.length > 0 && bytes + size > maxBatchBytes) break
      taken++
      if (this.rejectIfLate(entry, now)) continue
      if (ids.has(entry.id)) {
        held.push(entry)
      } else {
        ids.add(entry.id)
        bytes += size
        batch.push(entry)
      }
    }
    this.queue = taken === this.queue.length ? held : [...held, ...this.queue.slice(taken)]
    const { leaving } = this.options
    if (leaving !== undefined) for (const { item } of batch) leaving(item)
    // The same order in every process: two statements that lock the same rows in different orders block each other.
    return batch.length > 1 ? batch.sort((a, b) => (a.id < b.id ? -1 : 1)) : batch
  }

  private async send(batch: Entry<Item, Result>[], tries: number): Promise<void> {
    let results: readonly Result[]
    try {
      results = await this.options.run(batch.map(({ item }) => item))
    } catch (error) {
      return this.recover(batch, error, tries)
    }
    for (let index = 0; index < batch.length; index++) (batch[index] as Entry<Item, Result>).resolve(results[index] as Result)
  }

  private async recover(batch: Entry<Item, Result>[], error: unknown, tries: number): Promise<void> {
    const again = error instanceof TransientDatabaseError || (error instanceof DatabaseUnreachableError && tries < 3)
    if (again && tries < MAX_TRIES) {
      // Jitter: those who collided must not meet again.
      await new Promise((resolve) => setTimeout(resolve, BACKOFF_MS * tries * (0.5 + Math.random())))
      const now = performance.now()
      const waited = batch.filter((entry) => !this.rejectIfLate(entry, now))
      if (waited.length > 0) await this.send(waited, tries + 1)
      return
    }
    const allRowsFault = again || error instanceof DatabaseUnreachableError || error instanceof ReadOnlyDatabaseError
    const oneRowsFault = error instanceof DatabaseError && !allRowsFault
    if (batch.length > 1 && oneRowsFault) {
      // One poisoned row fails alone.
      const middle = batch.length >> 1
      await this.send(batch.slice(0, middle), MAX_TRIES)
      return this.send(batch.slice(middle), MAX_TRIES)
    }
    for (const { reject } of batch) reject(error)
  }

  /** True for one whose caller has a TimeoutError already: nothing is sent whose result would be thrown away. */
  private rejectIfLate({ item, since, reject }: Entry<Item, Result>, now: number): boolean {
    const { operation, timeoutMs } = this.options
    if (since >= now - timeoutMs) return false
    this.options.leaving?.(item)
    reject(new TimeoutError(operation, timeoutMs))
    return true
  }
}
