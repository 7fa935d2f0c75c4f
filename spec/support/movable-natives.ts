import type { Timer } from '../../lib/runtime/natives'

/**
 * Stands in for `lib/runtime/natives.ts` where a spec moves the clock of the package: it asks the globals at each call, so fake timers reach it.
 *
 *     vi.mock('../lib/runtime/natives', () => import('./support/movable-natives.ts'))
 */
let stoodStillMs = 0

/** As after a breakpoint or SIGSTOP: time has passed, and no timer was on time. */
export function standStill(ms: number): void {
  stoodStillMs += ms
}

export const monotonicNow = (): number => performance.now() + stoodStillMs

export function startAwaitedTimer(work: () => void, ms: number): Timer {
  const timer = setTimeout(work, ms)
  return { stop: () => clearTimeout(timer) }
}

export function startTimer(work: () => void, ms: number): Timer {
  const timer = setTimeout(work, ms)
  timer.unref()
  return { stop: () => clearTimeout(timer) }
}

export const afterTick: typeof import('../../lib/runtime/natives').afterTick = (work, ...args) => process.nextTick(work, ...args)

export function afterPoll(work: () => void): void {
  setImmediate(work)
}
