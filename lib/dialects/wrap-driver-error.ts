import {
  DatabaseError,
  DatabaseLockedError,
  DatabaseUnreachableError,
  PoolExhaustedError,
  ReadOnlyDatabaseError,
  RecordTooLargeError,
  TimeoutError,
  TransientDatabaseError
} from '../database-errors'
import { isOurs, type SessionStoreError } from '../errors'
import { type Dialect, driverCode } from './dialect'

const NO_CONNECTION =
  'the Knex pool gave no connection in time (its option acquireConnectionTimeout), although it is not known to be used up: the database lets nobody connect, or the pool does not tell how full it is'
const NOT_PREPARED =
  'prepared statements do not last here, as behind pgbouncer before 1.21 in transaction mode; give the store the option prepare: false'

/** The error that leaves instead of the driver's own, whose text may hold bound values. One of ours leaves as it is. */
export function wrapDriverError(dialect: Dialect, error: unknown, operation: string): SessionStoreError {
  if (error instanceof TimeoutError) return new TimeoutError(operation, error.timeoutMs, error.outcome)
  if (error instanceof DatabaseLockedError) return new DatabaseLockedError(operation, dialect.name, error.driverCode, error.waitedMs)
  if (error instanceof PoolExhaustedError) return new PoolExhaustedError(operation, dialect.name, error.usage, error.waitedMs)
  if (isOurs(error)) return error
  const code = driverCode(error)
  if (isKnexTimeout(error)) return new DatabaseUnreachableError(operation, dialect.name, code, NO_CONNECTION)
  const diagnosis = dialect.diagnose(error)
  switch (diagnosis) {
    case 'transient':
      return new TransientDatabaseError(operation, dialect.name, code)
    case 'locked':
    case 'ended':
      return new TransientDatabaseError(operation, dialect.name, code, diagnosis)
    case 'unreachable':
      return new DatabaseUnreachableError(operation, dialect.name, code)
    case 'read-only':
      return new ReadOnlyDatabaseError(operation, dialect.name, code)
    case 'too-large':
      return new RecordTooLargeError(operation, dialect.name, code, dialect.sizeLimit)
    case 'denied':
      return new DatabaseError(operation, dialect.name, code, 'the database user lacks the privilege')
    case 'unprepared':
      return new DatabaseError(operation, dialect.name, code, NOT_PREPARED)
    default:
      return new DatabaseError(operation, dialect.name, code, dialect.settingsInTheWay[code ?? ''])
  }
}

/** Knex has no code for it, and the application's Knex may be of another copy than ours. */
function isKnexTimeout(error: unknown): boolean {
  return (error as Error | null)?.name === 'KnexTimeoutError'
}
