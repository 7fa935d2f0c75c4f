/*
 * Decides when the lane sends its next statement, and with how many rows. The speed of batching comes from this decision. With the plain
 * rule "send what waits when a statement has ended", throughput is 0.57 to 0.79 of what it is.
 */

/** The statements of a lane that are in flight, without the slow ones. */
export interface InFlight {
  /** True if no other statement may be sent now. */
  readonly isFull: boolean
  readonly rows: number
}

/** How many rows go in a statement. */
export interface RowLimits {
  readonly maxBatch: number
  /** A statement of fewer rows is not worth its cost while other calls wait. */
  readonly smallBatch: number
  readonly maxInFlight: number
}

export type Choice =
  /** Send a statement now. */
  | 'send'
  /** Too few calls wait: let them wait for more calls, at most {@link HOLD_MS}. */
  | 'hold'
  /** Nothing waits, or nothing may be sent before a statement in flight has ended. */
  | 'wait'

/** While a statement is in flight, the waiting calls are stragglers if they are fewer than this part of its rows. */
const STRAGGLERS = 1 / 4
/** How many milliseconds stragglers wait for more calls. The statement in flight may take much longer, so they do not wait for its end. */
export const HOLD_MS = 3
/**
 * The number of statements in flight. Two keep this process and the database busy. With more of them, each statement is smaller, and that
 * costs more than it gains.
 */
const WORTH_SPLITTING_FOR = 2

/** Returns what the lane does with the calls that wait now. */
export function chooseNext(waiting: number, inFlight: InFlight): Choice {
  if (waiting === 0 || inFlight.isFull) return 'wait'
  return areStragglers(waiting, inFlight.rows) ? 'hold' : 'send'
}

/**
 * Returns whether the waiting calls are too few for a statement of their own. When a statement of `rows` rows has just ended, its callers
 * are about to call again. Stragglers go together with these calls.
 */
export function areStragglers(waiting: number, rows: number): boolean {
  return waiting < rows * STRAGGLERS
}

/**
 * Returns the most rows of the next statement. If another statement may be in flight with it, it takes half of all rows: with all rows in
 * one statement, this process and the database would be idle in turns. It takes not many more rows than are in flight, because uneven
 * statements stay uneven.
 */
export function rowsOfNext(waiting: number, inFlight: InFlight, { maxBatch, smallBatch, maxInFlight }: RowLimits): number {
  if (maxInFlight === 1) return maxBatch
  return Math.min(maxBatch, Math.max(smallBatch, Math.ceil((waiting + inFlight.rows) / WORTH_SPLITTING_FOR)))
}
