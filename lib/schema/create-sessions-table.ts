import type { Knex } from 'knex'
import { type Dialect, driverOf } from '../dialects/dialect'
import { detectDialect } from '../dialects/drivers'
import { wrapDriverError } from '../dialects/wrap-driver-error'
import { Database } from '../knex/database'
import { resolveTable, TABLE_OPTIONS } from '../options/table-options'
import { refuseUnknown } from '../unknown-option'
import { makeIfMissing } from './make-table'
import { isOwnTableThere } from './own-table'
import { type RegisteredTable, register } from './registry'
import { isUnlogged, type SessionsTableOptions } from './sessions-table-options'

/** A migration may take longer than a request. */
const SCHEMA_TIMEOUT_MS = 600_000

/**
 * Registers the sessions table in this process and returns its definition. The same table may be registered any number of times, from anywhere
 * in the process: each call returns the definition of the first one. No I/O. The store does this by itself.
 *
 * @param knex the Knex of the table's database
 * @throws {SchemaConflictError} if the table was registered with another definition
 * @example
 * import { registerSessionsTable } from 'knex-session-store'
 *
 * registerSessionsTable(db, { tableName: 'web_sessions' }) === registerSessionsTable(db, { tableName: 'web_sessions' }) // true
 */
export function registerSessionsTable(knex: Knex, options: SessionsTableOptions = {}): RegisteredTable['definition'] {
  return resolve(knex, options).entry.definition
}

/**
 * Makes the sessions table if it does not exist, with the columns and indexes that the store needs. For a migration of your own. It may be called
 * any number of times, by any number of processes at once.
 *
 * @param knex a Knex or a transaction
 * @throws {ForeignTableError} if a table of that name was not made by this package
 * @throws {TableMissingError} if the database user may not create it
 * @example
 * import type { Knex } from 'knex'
 * import { createSessionsTable } from 'knex-session-store'
 *
 * export const up = (knex: Knex) => createSessionsTable(knex, { version: 1, tableName: 'web_sessions' })
 */
export async function createSessionsTable(knex: Knex, options: SessionsTableOptions = {}): Promise<void> {
  const { db, dialect, entry, unlogged } = resolve(knex, options)
  try {
    await makeIfMissing(db, dialect, entry.definition, { unlogged })
  } catch (error) {
    throw wrapDriverError(dialect, error, 'table creation')
  }
  entry.ready = true
}

/**
 * Drops the sessions table if it exists, with all sessions.
 *
 * @param knex a Knex or a transaction
 * @throws {ForeignTableError} if a table of that name was not made by this package; it stays as it is
 * @example
 * import type { Knex } from 'knex'
 * import { dropSessionsTable } from 'knex-session-store'
 *
 * export const down = (knex: Knex) => dropSessionsTable(knex, { version: 1, tableName: 'web_sessions' })
 */
export async function dropSessionsTable(knex: Knex, options: SessionsTableOptions = {}): Promise<void> {
  const { db, dialect, entry } = resolve(knex, options)
  entry.ready = false
  try {
    await onOneConnection(db, dialect, async (connected) => {
      if (await isOwnTableThere(connected, dialect, entry.definition)) await dialect.drop(connected, entry.definition)
    })
  } catch (error) {
    throw wrapDriverError(dialect, error, 'table removal')
  }
}

/**
 * Looks at the table and drops it on one connection. On another connection, a temporary table or another search path might give the name to
 * another table. One connection is not used if dropping commits the transaction, or if dropping has to wait for a lock that must not be
 * waited for in a transaction.
 */
function onOneConnection<T>(db: Database, { createsInTransaction, isInProcess }: Dialect, work: (db: Database) => Promise<T>): Promise<T> {
  return db.isTransaction || isInProcess || !createsInTransaction ? work(db) : db.transaction(work)
}

function resolve(knex: Knex, options: SessionsTableOptions) {
  refuseUnknown(options, [...TABLE_OPTIONS, 'version', 'unlogged'])
  const dialect = detectDialect(knex, { prepare: false, durability: 'all' })
  const unlogged = isUnlogged(options, dialect)
  const entry = register(knex, resolveTable(options, dialect))
  return { db: Database.of(knex, SCHEMA_TIMEOUT_MS, driverOf(dialect)), dialect, entry, unlogged }
}
