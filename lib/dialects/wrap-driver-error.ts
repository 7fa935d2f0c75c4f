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
import type { Database } from '../knex/database'
import { type ConnectingFailure, failureOfConnecting } from '../knex/failed-connecting'
import { type Dialect, driverCode, type Privileges } from './dialect'
import { displayName, type TableDefinition } from './table-definition'

const NO_CONNECTION =
  'the Knex pool gave no connection in time (acquireConnectionTimeout of the Knex configuration), although it does not seem to be used up: the server does not respond, or the pool does not say how full it is. Check whether the server runs, whether host and port in the connection of the Knex configuration are right, and whether a firewall blocks the connection'
const DESTROYED =
  'the Knex was destroyed (knex.destroy()) and gives no connections any more; destroy it last: stop the server, await store.close(), await knex.destroy(). If that was a mistake, knex.initialize() opens it again'
const NOT_CONFIGURED = 'the Knex was made without a connection; give its configuration one: knex({ client, connection: { … } })'
const FAILED = 'the connection could not be made'
const SEE_KNEX =
  "check whether the Knex itself connects: await knex.raw('SELECT 1'). If not, its error says more (the text is left out here because a function of the Knex configuration may have thrown it)"
const CONSTRAINT =
  'a constraint, a unique index or a trigger that was added to the sessions table, or a foreign key that refers to it, refuses this; remove it, or let it accept every session (a foreign key: ON DELETE CASCADE)'
const NOT_PREPARED =
  'the server does not keep prepared statements for this connection, as behind pgbouncer before 1.21 in transaction mode; give the store the option prepare: false'
const NEEDED = 'SELECT, INSERT, UPDATE, DELETE'

/**
 * Returns the error that takes the place of the driver's error, whose text may contain bound values. An error of this package is returned
 * as it is.
 */
export function wrapDriverError(dialect: Dialect, error: unknown, operation: string): SessionStoreError {
  if (error instanceof TimeoutError) return new TimeoutError(operation, error.timeoutMs, error.outcome, error.whileConnecting)
  if (error instanceof DatabaseLockedError) return new DatabaseLockedError(operation, dialect.name, error.driverCode, error.waitedMs)
  if (error instanceof PoolExhaustedError) {
    return new PoolExhaustedError(operation, dialect.name, error.usage, error.waitedMs, error.limit)
  }
  if (isOurs(error)) return error
  const code = driverCode(error)
  if (isKnexTimeout(error)) return new DatabaseUnreachableError(operation, dialect.name, code, NO_CONNECTION)
  const diagnosis = dialect.diagnose(error)
  const connecting = failureOfConnecting(error)
  if (connecting !== undefined) {
    const Class = diagnosis === 'unreachable' ? DatabaseUnreachableError : DatabaseError
    return new Class(operation, dialect.name, code, explainConnecting(dialect, error, connecting))
  }
  const explanation = explained(dialect, 'statement', error)
  switch (diagnosis) {
    case 'transient':
      return new TransientDatabaseError(operation, dialect.name, code)
    case 'locked':
    case 'ended':
      return new TransientDatabaseError(operation, dialect.name, code, diagnosis)
    case 'unreachable':
      return new DatabaseUnreachableError(operation, dialect.name, code, explanation)
    case 'read-only':
      return new ReadOnlyDatabaseError(operation, dialect.name, code, dialect.explanations.readOnly)
    case 'too-large':
      return new RecordTooLargeError(operation, dialect.name, code, dialect.sizeLimit)
    case 'constraint':
      return new DatabaseError(operation, dialect.name, code, CONSTRAINT)
    case 'denied':
      return new DatabaseError(
        operation,
        dialect.name,
        code,
        `the database user lacks a privilege; grant it ${NEEDED} on the sessions table`
      )
    case 'unprepared':
      return new DatabaseError(operation, dialect.name, code, NOT_PREPARED)
    default:
      return new DatabaseError(operation, dialect.name, code, explanation)
  }
}

/**
 * The same after a statement on the table failed. If the user lacks a privilege, asks the server for the name of the user and for the
 * privileges that are missing.
 */
export async function explainDriverError(
  dialect: Dialect,
  error: unknown,
  operation: string,
  db: Database,
  table: TableDefinition
): Promise<SessionStoreError> {
  const plain = wrapDriverError(dialect, error, operation)
  if (isOurs(error) || dialect.diagnose(error) !== 'denied') return plain
  // Nothing can be asked in a transaction that has failed. Nothing is asked either if nothing waits for the result any more.
  const privileges = await dialect.privileges(db, table, error).catch(() => undefined)
  return new DatabaseError(operation, dialect.name, driverCode(error), denied(dialect, table, privileges, operation))
}

function denied(dialect: Dialect, table: TableDefinition, privileges: Privileges | undefined, operation: string): string {
  const { user, lacking, before = '' } = privileges ?? { user: '', lacking: [] }
  const what = lacking.length === 0 ? 'may not do this' : `lacks the privilege${lacking.length > 1 ? 's' : ''} ${lacking.join(', ')}`
  const isCheck = operation === 'table check' && before === ''
  const grant = `GRANT ${NEEDED} ON ${dialect.quote(table.schemaName, table.tableName)} TO ${user || '…'}`
  return `the database user${user && ` ${user}`} ${what} on the table ${displayName(table)}; have its owner or an administrator run: ${before}${grant}${isCheck ? ' (if the table does not exist yet, have it created first: the server does not tell this user whether it exists)' : ''}`
}

function explainConnecting(dialect: Dialect, error: unknown, failure: ConnectingFailure): string {
  if (failure.reason === 'destroyed') return DESTROYED
  if (failure.reason === 'not-configured') return NOT_CONFIGURED
  const known = explained(dialect, 'connection', error)
  const isDrivers = failure.text !== undefined && (known !== undefined || mayBeShown(error))
  return `${FAILED}: ${known ?? SEE_KNEX}${isDrivers ? `. The driver says: ${failure.text}` : ''}`
}

/**
 * False for the error of a statement that the application runs on each new connection, because its text may contain a secret of the
 * application.
 */
function mayBeShown(error: unknown): boolean {
  const { code, severity, fatal } = error as { code?: unknown; severity?: unknown; fatal?: unknown }
  return code === undefined || severity === 'FATAL' || fatal === true
}

/**
 * Returns the explanation by the driver's code, by the server's number, or by the first two words of a detailed code (SQLITE_IOERR_READ).
 * If there is none, by the text.
 */
function explained({ explanations }: Dialect, of: 'statement' | 'connection', error: unknown): string | undefined {
  const { byCode, byText } = explanations[of]
  const { errno } = (error ?? {}) as { errno?: unknown }
  const code = driverCode(error) ?? ''
  for (const key of [code, String(errno), code.split('_', 2).join('_')]) {
    if (Object.hasOwn(byCode, key)) return byCode[key]
  }
  const { message } = (error ?? {}) as { message?: unknown }
  return byText.find(([text]) => text.test(String(message)))?.[1]
}

/** Knex's time-out has no code, and the application's Knex may be of another copy than ours. */
function isKnexTimeout(error: unknown): boolean {
  return (error as Error | null)?.name === 'KnexTimeoutError'
}
