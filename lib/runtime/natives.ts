import { performance } from 'node:perf_hooks'
import * as timers from 'node:timers'
import { promisify } from 'node:util'

/**
 * The timers, ticks and monotonic clock of the process, as they are when this package is loaded.
 *
 * A test under fake timers replaces the globals, and at its end drops what they have not run. The functions that are captured here stay
 * real, so results, connections and time-outs never wait for a test's clock. Only code that should follow the application's clock calls
 * `Date.now()` (`systemClock` in `options/option-functions.ts`).
 *
 * If the package is loaded while timers are faked, the captured functions are fakes. Then promises stand in for ticks, and
 * `Atomics.waitAsync` stands in for timers: no library fakes these.
 */

/** Milliseconds since the process began. It uses `process.uptime`, which costs twice as much, because no library fakes it. */
export const monotonicNow: () => number = monotonicClock()

/** A timer that has been started. */
export interface Timer {
  /** Stops the timer. Does nothing if it is over. */
  stop(): void
}

/** Starts a timer that does not keep the process alive. It bounds work that keeps the process alive by itself. */
export const startTimer: (work: () => void, ms: number) => Timer = timerStarter(false)

/** Starts a timer that keeps the process alive until it is over, because its work is waited for. */
export const startAwaitedTimer: (work: () => void, ms: number) => Timer = timerStarter(true)

/** Does `work` after the code that runs now, after the promises that are settled by then, and before the event loop goes on. */
export const afterTick: <Args extends unknown[]>(work: (...args: Args) => void, ...args: Args) => void = tickScheduler()

/** Does `work` after the event loop has read its input once, so everything that has arrived by then has been read. */
export const afterPoll: (work: () => void) => void = pollScheduler()

function monotonicClock(): () => number {
  // Node's own is its prototype's.
  const isFaked = Object.hasOwn(performance, 'now') || isFake(performance.now)
  return isFaked ? () => process.uptime() * 1000 : performance.now.bind(performance)
}

function timerStarter(keepsAlive: boolean): typeof startTimer {
  const { setTimeout, clearTimeout } = timers
  if (isFake(setTimeout, promisify.custom)) return startEngineTimer
  return (work, ms) => {
    const timer = setTimeout(work, ms)
    if (!keepsAlive) timer.unref()
    return { stop: () => clearTimeout(timer) }
  }
}

function tickScheduler(): typeof afterTick {
  const { nextTick } = process
  if (isFake(nextTick)) return (work, ...args) => afterPromises(() => work(...args), PROMISES_A_TICK)
  return nextTick.bind(process) as typeof afterTick
}

function pollScheduler(): typeof afterPoll {
  const { setImmediate } = timers
  return isFake(setImmediate, promisify.custom) ? (work) => void startEngineTimer(work, 0) : (work) => void setImmediate(work)
}

/**
 * Sinon, Jest and Vitest leave a mark on the functions that they replace. The fakes of `node:test` lack properties of Node's own functions.
 */
function isFake(native: unknown, own?: symbol): boolean {
  if (typeof native !== 'function') return true
  return 'clock' in native || '_isMockFunction' in native || (own !== undefined && !(own in native))
}

/** How many promises in a row may settle before a tick, if promises stand in for ticks. */
const PROMISES_A_TICK = 8

/** An error that `work` throws becomes an unhandled rejection. It ends the process, as an uncaught exception does. */
function afterPromises(work: () => void, left: number): void {
  Promise.resolve().then(left === 0 ? work : () => afterPromises(work, left - 1))
}

/** A timer of the JavaScript engine, which no library fakes. */
function startEngineTimer(work: () => void, ms: number): Timer {
  const cell = new Int32Array(new SharedArrayBuffer(4))
  let isStopped = false
  const { value } = Atomics.waitAsync(cell, 0, 0, Math.max(1, ms))
  Promise.resolve(value).then(() => {
    if (!isStopped) work()
  })
  return {
    stop: () => {
      isStopped = true
      Atomics.notify(cell, 0)
    }
  }
}
