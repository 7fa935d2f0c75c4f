import { DatabaseUnreachableError, PoolExhaustedError, TimeoutError, TransientDatabaseError } from '../database-errors'
import { StatementBounds } from '../knex/statement-bounds'
import { isPromiseLike, type MaybePromise } from '../runtime/maybe-promise'
import { startAwaitedTimer } from '../runtime/natives'
import type { Entry, LaneOfEntry } from './entry'
import { LOCK_WAIT_MS, type LockedRows, SPLIT_LOCK_WAIT_MS } from './locked-rows'
import { nextStep, pauseAfter } from './next-step'

/** What a sender is made with. */
export interface SenderOptions<Item, Result> {
  /** For messages. */
  readonly operation: string
  /** The time that a caller has, for messages. */
  readonly timeoutMs: number
  /** Runs one statement for all items and returns a result for each item, in order. No two items have the same id. */
  readonly run: (items: Item[], bounds: StatementBounds) => MaybePromise<readonly Result[]>
  /** Where calls with locked rows wait. Undefined if the statements lock no rows. */
  readonly lockedRows?: LockedRows
}

/** A statement that is being sent: how often it was sent, and how long it may wait for a locked row. */
interface Attempt {
  readonly tries: number
  readonly lockWaitMs: number
}

const FIRST: Attempt = { tries: 1, lockWaitMs: LOCK_WAIT_MS }

/**
 * Sends calls in one statement and gives each call its result. It sends a failed statement again, or splits it, or lets a call with a
 * locked row wait alone.
 */
export class Sender<Item, Result> implements LaneOfEntry<Item, Result> {
  readonly operation: string
  readonly timeoutMs: number

  constructor(private readonly options: SenderOptions<Item, Result>) {
    this.operation = options.operation
    this.timeoutMs = options.timeoutMs
  }

  /** @param ended called before any caller has its result. So the next statement can be sent while callers use their results. */
  send(batch: Entry<Item, Result>[], ended: () => void): void {
    this.attempt(batch, FIRST, ended)
  }

  waitForLock(entry: Entry<Item, Result>, lockWaitMs: number, ended: () => void): void {
    this.attempt([entry], { tries: 1, lockWaitMs }, ended)
  }

  private attempt(batch: Entry<Item, Result>[], attempt: Attempt, ended: () => void): void {
    const { run, lockedRows } = this.options
    const bounds = new StatementBounds(lockedRows === undefined ? undefined : attempt.lockWaitMs, callsIn(batch))
    for (const entry of batch) {
      entry.depart(bounds)
      if (entry.twins !== undefined) for (const twin of entry.twins) twin.depart(bounds)
    }
    const answered = (results: readonly Result[]) => {
      ended()
      for (let index = 0; index < batch.length; index++) {
        const entry = batch[index] as Entry<Item, Result>
        const result = results[index] as Result
        entry.resolve(result)
        if (entry.twins !== undefined) for (const twin of entry.twins) twin.resolve(result)
      }
    }
    const failed = (error: unknown) => this.recover(batch, error, attempt, ended)
    let results: MaybePromise<readonly Result[]>
    try {
      results = run(
        batch.map(({ item }) => item),
        bounds
      )
    } catch (error) {
      failed(error)
      return
    }
    if (isPromiseLike(results)) results.then(answered, failed)
    else answered(results)
  }

  private recover(batch: Entry<Item, Result>[], error: unknown, attempt: Attempt, ended: () => void): void {
    const { lockedRows } = this.options
    const isLost = error instanceof DatabaseUnreachableError && !(error instanceof PoolExhaustedError)
    const isUnknown = isLost || (error instanceof TimeoutError && error.outcome === 'unknown')
    for (const entry of batch) {
      entry.comeBack(isUnknown)
      if (entry.twins !== undefined) for (const twin of entry.twins) twin.comeBack(isUnknown)
    }
    const waiting = stillWaiting(batch)
    if (waiting.length === 0) {
      ended()
      return
    }
    const { tries, lockWaitMs } = attempt
    switch (nextStep(error, { rows: waiting.length, tries, locksRows: lockedRows !== undefined })) {
      case 'again':
        startAwaitedTimer(() => this.attemptForRest(waiting, { tries: tries + 1, lockWaitMs }, ended), pauseAfter(tries))
        return
      case 'split': {
        const isLocked = error instanceof TransientDatabaseError
        // A row that is at fault fails alone after the last split, and is not sent again.
        const next = isLocked ? { tries, lockWaitMs: SPLIT_LOCK_WAIT_MS } : { tries: Number.POSITIVE_INFINITY, lockWaitMs }
        const middle = waiting.length >> 1
        this.attempt(waiting.slice(0, middle), next, () => this.attemptForRest(waiting.slice(middle), next, ended))
        return
      }
      case 'wait-for-lock':
        ended()
        for (const entry of waiting) lockedRows?.add(entry)
        return
      case 'fail':
        ended()
        for (const entry of waiting.flatMap(withTwins)) entry.reject(error)
    }
  }

  /** Some of the callers may have given up meanwhile. */
  private attemptForRest(batch: Entry<Item, Result>[], attempt: Attempt, ended: () => void): void {
    const waiting = stillWaiting(batch)
    if (waiting.length > 0) this.attempt(waiting, attempt, ended)
    else ended()
  }
}

/**
 * Returns the entries whose callers still wait. If the caller of an entry has given up, an entry that shares its result takes its place.
 * Callers that have given up have got their error.
 */
function stillWaiting<Item, Result>(batch: Entry<Item, Result>[]): Entry<Item, Result>[] {
  return batch.flatMap((entry) => {
    const [first, ...twins] = withTwins(entry).filter((one) => one.isStillWanted())
    if (first === undefined) return []
    first.twins = twins.length > 0 ? twins : undefined
    return [first]
  })
}

function withTwins<Item, Result>(entry: Entry<Item, Result>): Entry<Item, Result>[] {
  return entry.twins === undefined ? [entry] : [entry, ...entry.twins]
}

function callsIn<Item, Result>(batch: readonly Entry<Item, Result>[]): number {
  let calls = batch.length
  for (const { twins } of batch) if (twins !== undefined) calls += twins.length
  return calls
}
