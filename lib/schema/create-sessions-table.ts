import type { Knex } from 'knex'
import { type Dialect, driverOf } from '../dialects/dialect'
import { detectDialect } from '../dialects/drivers'
import { LAYOUT_VERSION } from '../dialects/table-definition'
import { wrapDriverError } from '../dialects/wrap-driver-error'
import { InvalidOptionError } from '../errors'
import { Database } from '../knex/database'
import { resolveTable, TABLE_OPTIONS, type TableOptions } from '../options/table-options'
import { refuseUnknown } from '../unknown-option'
import { makeIfMissing } from './make-table'
import { isOwnTableThere } from './own-table'
import { type RegisteredTable, register } from './registry'

/** Options of {@link createSessionsTable} and {@link dropSessionsTable}. */
export interface SessionsTableOptions extends TableOptions {
  /** The version of the layout, so that a migration keeps its meaning. @default 1, the only version so far */
  version?: 1
  /**
   * PostgreSQL only, for {@link createSessionsTable}: keeps the table out of the write-ahead log. Writes are about three times as fast. If the
   * server crashes, all sessions are lost, and a standby has none. @default false
   */
  unlogged?: boolean
}

/** A migration may rightly take longer than a request. */
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
 * Looks at the table and drops it on one connection: on another connection, a temporary table or another search path might give the name to
 * another table. This is left out if dropping commits the transaction, or if it would have to wait for a lock that it may not wait for in a
 * transaction.
 */
function onOneConnection<T>(db: Database, { createsInTransaction, isInProcess }: Dialect, work: (db: Database) => Promise<T>): Promise<T> {
  return db.isTransaction || isInProcess || !createsInTransaction ? work(db) : db.transaction(work)
}

function resolve(knex: Knex, options: SessionsTableOptions) {
  refuseUnknown(options, [...TABLE_OPTIONS, 'version', 'unlogged'])
  const { version = LAYOUT_VERSION, unlogged = false } = options
  if (version !== LAYOUT_VERSION) throw new InvalidOptionError('version', `${LAYOUT_VERSION}, the layout this release knows`, version)
  const dialect = detectDialect(knex, { prepare: false, durability: 'all' })
  if (typeof unlogged !== 'boolean' || (unlogged && !dialect.supportsUnlogged)) {
    throw new InvalidOptionError('unlogged', dialect.supportsUnlogged ? 'true or false' : `false on ${dialect.name}`, unlogged)
  }
  const entry = register(knex, resolveTable(options, dialect))
  return { db: Database.of(knex, SCHEMA_TIMEOUT_MS, driverOf(dialect)), dialect, entry, unlogged }
}
