import { TimeoutError } from './errors'

/** A node-style callback. express-session's own types give it `any`, so the error is typed loosely here too. */
// biome-ignore lint/suspicious/noExplicitAny: the type of express-session's callbacks
export type Callback<T> = (error?: any, value?: T) => void

/** What a call needs to be answered. */
export interface Call {
  readonly operation: string
  /** Infinite for a call that is bounded step by step. */
  readonly timeoutMs: number
  /** Told once how it ended: `undefined` for success. */
  readonly settled: (error: unknown) => void
  /** Told of the error of a call without callback. */
  readonly onError: (error: unknown) => void
}

/**
 * Does the work and answers once, within the time: by the callback if there is one, else by the promise that is returned.
 *
 * The callback runs in its own tick, so a throw inside it stays its caller's and never comes back into our chain; and in its caller's
 * async context, which the `then` here takes along. The promise already carries a catch: express-session calls `store.destroy(sid)` bare
 * and drops what it returns, and that must not end the process. Who awaits it gets the error all the same.
 */
export function answerInTime<T>(work: () => Promise<T>, call: Call, callback: Callback<T> | undefined): Promise<T> | undefined {
  if (callback !== undefined) {
    settle(
      work,
      call,
      (value) => process.nextTick(callback, null, value),
      (error) => process.nextTick(callback, error)
    )
    return undefined
  }
  const promise = new Promise<T>((resolve, reject) => settle(work, call, resolve, reject))
  promise.catch(call.onError)
  return promise
}

/** The same for work that is under way and bounded in time already. */
export function answer<T>(work: Promise<T>, callback: Callback<T> | undefined, onError: (error: unknown) => void): Promise<T> | undefined {
  const call = { operation: '', timeoutMs: Number.POSITIVE_INFINITY, settled: () => undefined, onError }
  return answerInTime(() => work, call, callback)
}

function settle<T>(work: () => Promise<T>, call: Call, resolve: (value: T) => void, reject: (error: unknown) => void): void {
  let open = true
  const close = (error: unknown): boolean => {
    if (!open) return false
    open = false
    clearTimeout(timer)
    call.settled(error)
    return true
  }
  const fail = (error: unknown) => {
    if (close(error)) reject(error)
  }
  const timer =
    call.timeoutMs === Number.POSITIVE_INFINITY
      ? undefined
      : setTimeout(() => fail(new TimeoutError(call.operation, call.timeoutMs)), call.timeoutMs)
  let promise: Promise<T>
  try {
    promise = work()
  } catch (error) {
    promise = Promise.reject(error)
  }
  promise.then((value) => {
    if (close(undefined)) resolve(value)
  }, fail)
}

/** The outcome of `work`, or a {@link TimeoutError} after `timeoutMs`, whichever comes first. */
export function withinTime<T>(work: Promise<T>, operation: string, timeoutMs: number): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => reject(new TimeoutError(operation, timeoutMs)), timeoutMs)
    work.then(
      (value) => {
        clearTimeout(timer)
        resolve(value)
      },
      (error) => {
        clearTimeout(timer)
        reject(error)
      }
    )
  })
}
