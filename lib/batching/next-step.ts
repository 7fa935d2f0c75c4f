import {
  DatabaseError,
  DatabaseLockedError,
  DatabaseUnreachableError,
  PoolExhaustedError,
  ReadOnlyDatabaseError,
  TransientDatabaseError
} from '../database-errors'

/**
 * What the lane does with the calls of a failed statement that still wait. Only {@link nextStep} decides whether, how often and when the
 * lane sends a statement again.
 *
 * Three retries are elsewhere, because they need what only that layer knows:
 * - `SessionTable` makes a missing table and runs the statement once more.
 * - `Database.use` leaves a connection that leads to a read-only server.
 * - `SessionWriter`, which is above the lane, reads a row that another request has changed, and updates it again.
 */
export type Step =
  /** All the calls fail. */
  | 'fail'
  /** The same statement is sent once more, after a pause. */
  | 'again'
  /** The calls go in two statements of half as many rows. If one row is at fault, it fails alone at the end. */
  | 'split'
  /** The row is locked: this call waits for it alone. */
  | 'wait-for-lock'

/** How often a statement is sent, if the server chose it as the victim of a conflict, … */
const SENDS_WITH_CONFLICTS = 5
/** … if its connection broke, … */
const SENDS_OVER_BROKEN_CONNECTIONS = 3
/** … or if something told the server to end it: this process or another one. */
const SENDS_OF_ENDED = 2

/** The pause before the second try, in milliseconds. Each further pause is longer by the same time. */
const BACKOFF_MS = 10

/** A failed statement: its rows, how often it was sent, and whether it locks rows that its calls may wait for. */
export interface Failed {
  readonly rows: number
  readonly tries: number
  readonly locksRows: boolean
}

export function nextStep(error: unknown, { rows, tries, locksRows }: Failed): Step {
  // It has waited as long as its callers wait.
  if (error instanceof DatabaseLockedError || error instanceof PoolExhaustedError) return 'fail'
  if (error instanceof TransientDatabaseError) {
    if (error.reason === 'locked' && locksRows) return rows > 1 ? 'split' : 'wait-for-lock'
    return tries < (error.reason === 'ended' ? SENDS_OF_ENDED : SENDS_WITH_CONFLICTS) ? 'again' : 'fail'
  }
  if (error instanceof DatabaseUnreachableError) return tries < SENDS_OVER_BROKEN_CONNECTIONS ? 'again' : 'fail'
  if (error instanceof ReadOnlyDatabaseError) return 'fail'
  return error instanceof DatabaseError && rows > 1 ? 'split' : 'fail'
}

/** Returns how long to wait before the next try, in milliseconds. It is random, so that statements that collided do not collide again. */
export function pauseAfter(tries: number): number {
  return BACKOFF_MS * tries * (0.5 + Math.random())
}
