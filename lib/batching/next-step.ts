import {
  DatabaseError,
  DatabaseLockedError,
  DatabaseUnreachableError,
  PoolExhaustedError,
  ReadOnlyDatabaseError,
  TransientDatabaseError
} from '../database-errors'

/** What is done after a statement failed, with the calls that still wait. */
export type Step =
  /** All of them fail. */
  | 'fail'
  /** The same statement once more, after a moment. */
  | 'again'
  /** Two statements of half as many rows: one row is at fault, and fails alone. */
  | 'split'
  /** The row is locked: it waits for that alone. */
  | 'wait-for-lock'

/** How often a statement is tried that others made fail, whose connection broke, or that the server was told to end. */
const MAX_TRIES = { conflict: 5, unreachable: 3, ended: 2 }

/** A statement that failed: for so many rows, tried so many times, and whether it locks rows for which its calls may wait. */
export interface Failed {
  readonly rows: number
  readonly tries: number
  readonly locksRows: boolean
}

export function nextStep(error: unknown, { rows, tries, locksRows }: Failed): Step {
  // It has waited for as long as its callers do.
  if (error instanceof DatabaseLockedError || error instanceof PoolExhaustedError) return 'fail'
  if (error instanceof TransientDatabaseError) {
    if (error.reason === 'locked' && locksRows) return rows > 1 ? 'split' : 'wait-for-lock'
    return tries < (error.reason === 'ended' ? MAX_TRIES.ended : MAX_TRIES.conflict) ? 'again' : 'fail'
  }
  if (error instanceof DatabaseUnreachableError) return tries < MAX_TRIES.unreachable ? 'again' : 'fail'
  if (error instanceof ReadOnlyDatabaseError) return 'fail'
  return error instanceof DatabaseError && rows > 1 ? 'split' : 'fail'
}
