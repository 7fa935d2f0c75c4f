import { TimeoutError } from './errors'

/** A node-style callback. express-session's own types give it `any`, so the error is typed loosely here too. */
// biome-ignore lint/suspicious/noExplicitAny: the type of express-session's callbacks
export type Callback<T> = (error?: any, value?: T) => void

/**
 * Answers once: by the callback if there is one, else by the promise that is returned.
 *
 * The callback runs in its own tick, so a throw inside it stays its caller's and never comes back into our chain.
 * The promise already carries a catch: express-session calls `store.destroy(sid)` bare and drops what it returns, and that must not
 * end the process. Who awaits it gets the error all the same.
 */
export function answer<T>(work: Promise<T>, callback: Callback<T> | undefined, onError: (error: unknown) => void): Promise<T> | undefined {
  if (callback === undefined) {
    work.catch(onError)
    return work
  }
  work.then(
    (value) => process.nextTick(callback, null, value),
    (error) => process.nextTick(callback, error)
  )
  return undefined
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
