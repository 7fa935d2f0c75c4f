import type { Dialect } from '../dialects/dialect'
import { dialectOfClient } from '../dialects/drivers'
import { Hidden, InvalidOptionError } from '../errors'
import { resolveTable, TABLE_OPTIONS } from '../options/table-options'
import { refuseUnknown } from '../unknown-option'
import { isUnlogged, type SessionsTableOptions } from './sessions-table-options'

/** Options of {@link sessionsTableSql}. */
export interface SessionsTableSqlOptions extends SessionsTableOptions {
  /** The Knex client of the application, by its name in a knexfile: `'pg'`, `'better-sqlite3'`, `'mysql2'`. */
  client: string
  /**
   * PostgreSQL only: whether the data is compressed with LZ4, which makes writes cheaper. False for a server before 14, or one that was built
   * without it; it would refuse the statement. On other databases it has no effect. @default true
   */
  lz4?: boolean
}

/** Between two statements. */
export const SEPARATOR = ';\n'

/**
 * Returns the statements that {@link createSessionsTable} runs, as text, for applications that keep their schema in files of SQL. Between two
 * statements is a semicolon and a line break; after the last one is nothing. No I/O. The statements do not look whether the table exists, so run
 * them once. Give the store `createTable: false` if the user of the application may not create tables.
 *
 * @throws {InvalidOptionError} {@link UnknownOptionError} if an option is wrong
 * @throws {UnsupportedDatabaseError} if the client is of another database
 * @example
 * import { writeFileSync } from 'node:fs'
 * import { sessionsTableSql } from 'knex-session-store'
 *
 * writeFileSync('schema/sessions.sql', `${sessionsTableSql({ client: 'pg', tableName: 'web_sessions' })};\n`)
 */
export function sessionsTableSql(options: SessionsTableSqlOptions): string {
  if (typeof options !== 'object' || options === null) {
    throw new InvalidOptionError('the options of sessionsTableSql()', 'an object with the client', new Hidden(options))
  }
  refuseUnknown(options, ['client', ...TABLE_OPTIONS, 'version', 'unlogged', 'lz4'])
  const { client, lz4, ...table } = options
  return creationSql(dialectOfClient(client, { prepare: false, durability: 'all' }), table, lz4)
}

/** The same for a dialect. */
export function creationSql(dialect: Dialect, options: SessionsTableOptions, lz4 = true): string {
  if (typeof lz4 !== 'boolean') throw new InvalidOptionError('lz4', 'true or false', lz4)
  const unlogged = isUnlogged(options, dialect)
  return dialect.creation(resolveTable(options, dialect), { unlogged, lz4 }).join(SEPARATOR)
}
