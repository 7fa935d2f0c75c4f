import {
  DatabaseError,
  DatabaseUnreachableError,
  isOurs,
  ReadOnlyDatabaseError,
  RecordTooLargeError,
  type SessionStoreError,
  TimeoutError,
  TransientDatabaseError
} from '../errors'
import { type Dialect, driverCode } from './dialect'

const NO_CONNECTION =
  'the Knex pool gave no connection in time (its option acquireConnectionTimeout): it is used up, or the database does not answer'
const NOT_PREPARED =
  'prepared statements do not last here, as behind pgbouncer before 1.21 in transaction mode; give the store the option prepare: false'

/** The error that leaves instead of the driver's own, whose text may hold bound values. One of ours leaves as it is. */
export function wrapDriverError(dialect: Dialect, error: unknown, operation: string): SessionStoreError {
  if (error instanceof TimeoutError) return new TimeoutError(operation, error.timeoutMs)
  if (isOurs(error)) return error
  const code = driverCode(error)
  if (isKnexTimeout(error)) return new DatabaseUnreachableError(operation, dialect.name, code, NO_CONNECTION)
  switch (dialect.diagnose(error)) {
    case 'transient':
      return new TransientDatabaseError(operation, dialect.name, code)
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
