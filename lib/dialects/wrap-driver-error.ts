import {
  DatabaseError,
  DatabaseUnreachableError,
  ReadOnlyDatabaseError,
  RecordTooLargeError,
  type SessionStoreError,
  TransientDatabaseError
} from '../errors'
import { type Dialect, driverCode } from './dialect'

/** The error that leaves instead of the driver's own, whose text may hold bound values. */
export function wrapDriverError(dialect: Dialect, error: unknown, operation: string): SessionStoreError {
  const code = driverCode(error)
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
    default:
      return new DatabaseError(operation, dialect.name, code)
  }
}
