import { Hidden, InvalidOptionError, OptionFunctionError } from '../errors'
import { debug } from '../observe/debug'
import { ignoreRejection } from '../runtime/ignore-rejection'

/** What a clock has to be, for messages. */
export const CLOCK = 'a function that returns milliseconds since the epoch'

/** An error that the application's `onError` throws must not become an uncaught exception. */
export function guarded(onError: (error: Error) => void): (error: unknown) => void {
  const ignoreThrown = (thrown: unknown) => debug('onError threw %s', (thrown as Error | undefined)?.name)
  return (error) => {
    try {
      // Whatever is thrown in here is an error.
      ignoreRejection(onError(error as Error), ignoreThrown)
    } catch (thrown) {
      ignoreThrown(thrown)
    }
  }
}

/** The same function, but its errors name the option. A value that is no function is returned as it is. */
export function named<Value>(name: string, value: Value): Value {
  if (typeof value !== 'function' || value === nobody) return value
  const named = (...args: unknown[]) => {
    try {
      return value(...args)
    } catch (error) {
      throw new OptionFunctionError(name, error)
    }
  }
  return named as Value
}

/** A clock that returns no number would put the expiry in the past, and end the session. */
export function checkedClock(clock: () => number): () => number {
  if (clock === systemClock) return clock
  const ask = named('clock', clock)
  return () => {
    const now: unknown = ask()
    if (typeof now === 'number' && Number.isFinite(now)) return Math.floor(now)
    ignoreRejection(now)
    throw new InvalidOptionError('clock', CLOCK, typeof now === 'number' ? now : new Hidden(now))
  }
}

/** Calls `Date.now` each time, so that a store which was made before a test's fake timers follows them. */
export const systemClock = (): number => Date.now()

/** The default of the option `owner`. */
export function nobody(): null {
  return null
}
