import type { Knex } from 'knex'
import { detectDialect } from '../dialects/detect'
import { type Dialect, driverOf } from '../dialects/dialect'
import { LAYOUT_VERSION } from '../dialects/table-definition'
import { wrapDriverError } from '../dialects/wrap-driver-error'
import { InvalidOptionError } from '../errors'
import { Database } from '../knex/database'
import { resolveTable, TABLE_OPTIONS, type TableOptions } from '../options/table-options'
import { refuseUnknown } from '../unknown-option'
import { isOwnTableThere } from './own-table'
import { prepareTable } from './readiness'
import { type RegisteredTable, register } from './registry'

/** Options of {@link createSessionsTable} and {@link dropSessionsTable}. */
export interface SessionsTableOptions extends TableOptions {
  /** The layout of the table, so that a migration written today means the same tomorrow. @default 1, the only one there is */
  version?: 1
  /**
   * PostgreSQL only: keep the table out of the write-ahead log. Every write is about three times as fast, and all sessions are lost when
   * the server crashes; a standby has none. For {@link createSessionsTable}. @default false
   */
  unlogged?: boolean
}

/** A migration may rightly take longer than a request. */
const SCHEMA_TIMEOUT_MS = 600_000

/**
 * Registers the sessions table and answers its definition. The same table may be registered again and again, from anywhere in the
 * process: the first registration is answered. No I/O.
 *
 * @throws {SchemaConflictError} if it was registered with another definition
 * @example
 * registerSessionsTable(db, { tableName: 'web_sessions' }) === registerSessionsTable(db, { tableName: 'web_sessions' }) // true
 */
export function registerSessionsTable(knex: Knex, options: SessionsTableOptions = {}): RegisteredTable['definition'] {
  return resolve(knex, options).entry.definition
}

/**
 * Makes the sessions table, if it is not there, with the columns and indexes the store expects. For your own migration; may be called
 * any number of times, by any number of processes at once.
 *
 * @throws {ForeignTableError} if a table of that name is not ours
 * @throws {TableMissingError} if the database user may not create it
 * @example
 * exports.up = (knex) => createSessionsTable(knex, { version: 1, tableName: 'web_sessions' })
 */
export async function createSessionsTable(knex: Knex, options: SessionsTableOptions = {}): Promise<void> {
  const { db, dialect, entry, unlogged } = resolve(knex, options)
  try {
    await prepareTable(db, dialect, entry.definition, { unlogged })
  } catch (error) {
    throw wrapDriverError(dialect, error, 'table creation')
  }
  entry.ready = true
}

/**
 * Drops the sessions table, if it is there. A table of that name that is not ours stays as it is.
 *
 * @throws {ForeignTableError} if a table of that name is not ours
 * @example
 * exports.down = (knex) => dropSessionsTable(knex, { version: 1, tableName: 'web_sessions' })
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
 * What is looked at is what is dropped: on another connection a temporary table, or another search path, might give the name to another
 * table. Not where dropping commits the transaction, nor where it would have to wait for a lock that it may not wait for in a transaction.
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
