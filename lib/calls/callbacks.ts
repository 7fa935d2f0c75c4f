import { TimeoutError } from '../database-errors'
import { afterTick, monotonicNow } from '../runtime/natives'
import { nothing } from '../runtime/nothing'
import { CallDeadlines, Caller } from './caller'
import type { Deadlines } from './deadlines'

/** A node-style callback. express-session's own types give it `any`, so the error is typed loosely here too. */
// biome-ignore lint/suspicious/noExplicitAny: the type of express-session's callbacks
export type Callback<T> = (error?: any, value?: T) => void

/** One call of the store, as far as its result depends on it. */
export interface Call {
  readonly operation: string
  /**
   * The deadlines of the call; null for a call that is bounded step by step. With {@link CallDeadlines}, work that is done for the call is
   * given up in time.
   */
  readonly deadlines: Deadlines | null
  /** When it began, as `monotonicNow()` has it. */
  readonly startedAt: number
  /** Told once how it ended: `undefined` for success. */
  settled(error: unknown): void
  /** Told of the error of a call without callback. */
  readonly onError: (error: unknown) => void
}

/**
 * Does the work and gives its result once, within the time: to the callback if there is one, else by the promise that is returned.
 *
 * The callback runs in its own tick, so an error that it throws stays its caller's and never comes back into our chain. It runs in its
 * caller's async context, which the `then` here takes along.
 *
 * The promise already has a catch: express-session calls `store.destroy(sid)` bare and drops what it returns, and that must not end the
 * process. Code that awaits the promise gets the error all the same.
 */
export function answerInTime<T>(
  work: (caller: Caller) => Promise<T>,
  call: Call,
  callback: Callback<T> | undefined
): Promise<T> | undefined {
  if (callback !== undefined) {
    settle(work, new CallbackAnswer(call, callback))
    return undefined
  }
  const promise = new Promise<T>((resolve, reject) => settle(work, new PromiseAnswer(call, resolve, reject)))
  promise.catch(call.onError)
  return promise
}

/** The same for work that is under way and bounded in time already. */
export function answer<T>(work: Promise<T>, callback: Callback<T> | undefined, onError: (error: unknown) => void): Promise<T> | undefined {
  return answerInTime(() => work, { operation: '', deadlines: null, startedAt: 0, settled: nothing, onError }, callback)
}

/** A result that is still to be given. */
abstract class PendingAnswer<T> extends Caller {
  private open = true

  constructor(private readonly call: Call) {
    super()
    call.deadlines?.add(this, call.startedAt)
  }

  succeed(value: T): void {
    if (this.close(undefined)) this.give(value)
  }

  fail(reason: unknown): void {
    const error = this.explained(reason)
    if (this.close(error)) this.refuse(error)
  }

  /** Called by the deadlines, which have removed it. */
  override expire(): void {
    const { operation, deadlines } = this.call
    if (deadlines instanceof CallDeadlines) {
      if (!this.hasGivenUp) {
        deadlines.reserve.add(this, this.due)
        this.giveUp()
        return
      }
      this.expired(new TimeoutError(operation, deadlines.callMs, this.outcome))
    } else this.expired(new TimeoutError(operation, deadlines?.timeoutMs ?? Number.POSITIVE_INFINITY))
  }

  private expired(timeout: TimeoutError): void {
    const error = this.explained(timeout)
    this.open = false
    this.call.settled(error)
    this.refuse(error)
  }

  /** If the call never got to the database, the cause is named, and not the database. */
  private explained(error: unknown): unknown {
    if (this.wasSent || !(error instanceof TimeoutError) || error.outcome !== 'not-written') return error
    const { deadlines, operation, startedAt } = this.call
    return deadlines?.explain(operation, Math.round(monotonicNow() - startedAt)) ?? error
  }

  protected abstract give(value: T): void
  protected abstract refuse(error: unknown): void

  private close(error: unknown): boolean {
    if (!this.open) return false
    this.open = false
    const { deadlines } = this.call
    if (this.hasGivenUp) (deadlines as CallDeadlines).reserve.remove(this)
    else deadlines?.remove(this)
    this.call.settled(error)
    return true
  }
}

class CallbackAnswer<T> extends PendingAnswer<T> {
  constructor(
    call: Call,
    private readonly callback: Callback<T>
  ) {
    super(call)
  }

  protected give(value: T): void {
    afterTick(this.callback, null, value)
  }

  protected refuse(error: unknown): void {
    afterTick(this.callback, error)
  }
}

class PromiseAnswer<T> extends PendingAnswer<T> {
  constructor(
    call: Call,
    protected readonly give: (value: T) => void,
    protected readonly refuse: (error: unknown) => void
  ) {
    super(call)
  }
}

function settle<T>(work: (caller: Caller) => Promise<T>, pending: PendingAnswer<T>): void {
  let promise: Promise<T>
  try {
    promise = work(pending)
  } catch (error) {
    promise = Promise.reject(error)
  }
  promise.then(
    (value) => pending.succeed(value),
    (error) => pending.fail(error)
  )
}

/** The outcome of `work`, or a {@link TimeoutError} when the time of `deadlines` is up, whichever comes first. */
export function withinTime<T>(work: Promise<T>, operation: string, deadlines: Deadlines): Promise<T> {
  // The code that awaits the promise has the error.
  const call: Call = { operation, deadlines, startedAt: monotonicNow(), settled: nothing, onError: nothing }
  return new Promise<T>((resolve, reject) => settle(() => work, new PromiseAnswer(call, resolve, reject)))
}
