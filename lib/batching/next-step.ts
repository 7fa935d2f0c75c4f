import {
  DatabaseError,
  DatabaseLockedError,
  DatabaseUnreachableError,
  PoolExhaustedError,
  ReadOnlyDatabaseError,
  TransientDatabaseError
} from '../database-errors'

/**
 * What the lane does with the calls of a statement that failed, as far as they still wait. This is the only place that decides whether, how
 * often and when the lane sends a statement again.
 *
 * Two retries are below it, because they need what only the layer below knows: `SessionTable` makes a missing table and runs the statement
 * once more, and `Database.use` leaves a connection to a read-only server. One retry is above it: `SessionWriter` reads a row that another
 * request has changed, and updates it again.
 */
export type Step =
  /** All of them fail. */
  | 'fail'
  /** The same statement once more, after a moment. */
  | 'again'
  /** Two statements of half as many rows: one row is at fault, and fails alone. */
  | 'split'
  /** The row is locked: it waits for that alone. */
  | 'wait-for-lock'

/** How often a statement is sent, by the reason that it failed for: the server's choice of a victim, … */
const SENDS_WITH_CONFLICTS = 5
/** … a connection that broke, … */
const SENDS_OVER_BROKEN_CONNECTIONS = 3
/** … or a server that was told to end it, by this process or another. */
const SENDS_OF_ENDED = 2

/** The pause before the second try, in milliseconds. The pause before each further one is longer by as much. */
const BACKOFF_MS = 10

/** A statement that failed: its rows, how often it was sent, and whether it locks rows that its calls may wait for. */
export interface Failed {
  readonly rows: number
  readonly tries: number
  readonly locksRows: boolean
}

export function nextStep(error: unknown, { rows, tries, locksRows }: Failed): Step {
  // It has waited for as long as its callers wait.
  if (error instanceof DatabaseLockedError || error instanceof PoolExhaustedError) return 'fail'
  if (error instanceof TransientDatabaseError) {
    if (error.reason === 'locked' && locksRows) return rows > 1 ? 'split' : 'wait-for-lock'
    return tries < (error.reason === 'ended' ? SENDS_OF_ENDED : SENDS_WITH_CONFLICTS) ? 'again' : 'fail'
  }
  if (error instanceof DatabaseUnreachableError) return tries < SENDS_OVER_BROKEN_CONNECTIONS ? 'again' : 'fail'
  if (error instanceof ReadOnlyDatabaseError) return 'fail'
  return error instanceof DatabaseError && rows > 1 ? 'split' : 'fail'
}

/** How long to wait before the next try, in milliseconds. Random, because statements that collided must not meet again. */
export function pauseAfter(tries: number): number {
  return BACKOFF_MS * tries * (0.5 + Math.random())
}
