import type { TableDefinition } from '../dialects/table-definition'
import { InvalidOptionError } from '../errors'
import { nearest } from '../unknown-option'

/** The stores whose table can be read. */
export type ImportSource =
  | 'better-sqlite3-session-store'
  | 'connect-pg-simple'
  | 'connect-session-knex'
  | 'connect-sqlite3'
  | 'express-mysql-session'

/**
 * What the column of the expiry holds: a number since the epoch, or a moment. A moment without a time zone is in the zone of the connection
 * that wrote it: connect-session-knex had a connection of the application's Knex, connect-pg-simple had one of its own.
 */
type Expiry = 'seconds' | 'milliseconds' | 'moment of the connection' | 'moment of a new connection'

/** How another store keeps its sessions. */
interface Format {
  readonly tableName: string
  readonly id: string
  /** JSON. */
  readonly data: string
  readonly expires: string
  readonly expiry: Expiry
}

/** As their own packages make and write them. */
const FORMATS: Readonly<Record<ImportSource, Format>> = {
  'better-sqlite3-session-store': { tableName: 'sessions', id: 'sid', data: 'sess', expires: 'expire', expiry: 'moment of the connection' },
  'connect-pg-simple': { tableName: 'session', id: 'sid', data: 'sess', expires: 'expire', expiry: 'moment of a new connection' },
  'connect-session-knex': { tableName: 'sessions', id: 'sid', data: 'sess', expires: 'expired', expiry: 'moment of the connection' },
  'connect-sqlite3': { tableName: 'sessions', id: 'sid', data: 'sess', expires: 'expired', expiry: 'milliseconds' },
  'express-mysql-session': { tableName: 'sessions', id: 'session_id', data: 'data', expires: 'expires', expiry: 'seconds' }
}

/** The names of the stores whose table can be read. */
export const IMPORT_SOURCES = Object.keys(FORMATS) as ImportSource[]

/** Options that say where the sessions are read. */
export interface ImportSourceOptions {
  /** The package whose table is read. */
  from: ImportSource
  /** The name of its table. @default the name that the package gives it: `'sessions'`, or `'session'` for connect-pg-simple */
  fromTable?: string
  /** The schema of its table. @default what the connection uses */
  fromSchema?: string
  /** The names of its columns, if they are not those of the package. @default those of the package */
  fromColumns?: { id?: string; data?: string; expires?: string }
}

/** The same options as they come: anything may be undefined. */
type GivenSource = { readonly [Key in keyof ImportSourceOptions]: ImportSourceOptions[Key] | undefined }

/** The table to read. */
export interface Source {
  readonly from: ImportSource
  readonly tableName: string
  readonly schemaName: string | undefined
  readonly columns: { readonly id: string; readonly data: string; readonly expires: string }
  readonly expiry: Expiry
}

/**
 * Checks the options that say where the sessions are read.
 *
 * @throws {InvalidOptionError} if one is wrong, or if they name the table that the sessions are written to
 */
export function resolveSource({ from, fromTable, fromSchema, fromColumns = {} }: GivenSource, into: TableDefinition): Source {
  const format = typeof from === 'string' && Object.hasOwn(FORMATS, from) ? FORMATS[from] : undefined
  if (format === undefined) throw unknownSource(from)
  const name = (option: string, given: unknown, fallback: string): string => {
    if (given === undefined) return fallback
    if (typeof given !== 'string' || given === '') throw new InvalidOptionError(option, 'a name, a string that is not empty', given)
    return given
  }
  const source = {
    from: from as ImportSource,
    tableName: name('fromTable', fromTable, format.tableName),
    schemaName: fromSchema === undefined ? undefined : name('fromSchema', fromSchema, ''),
    columns: {
      id: name('fromColumns.id', fromColumns.id, format.id),
      data: name('fromColumns.data', fromColumns.data, format.data),
      expires: name('fromColumns.expires', fromColumns.expires, format.expires)
    },
    expiry: format.expiry
  }
  if (source.tableName === into.tableName && source.schemaName === into.schemaName) {
    throw new InvalidOptionError(
      'tableName',
      `another table than the one of ${from}, which is read`,
      into.tableName,
      ". Give this store a name of its own (tableName: 'web_sessions'), or rename the old table and say so (fromTable)"
    )
  }
  return source
}

function unknownSource(from: unknown): InvalidOptionError {
  const near = typeof from === 'string' ? nearest(from, IMPORT_SOURCES) : undefined
  const hint = near === undefined ? '' : `; did you mean '${near}'?`
  return new InvalidOptionError('from', `one of ${IMPORT_SOURCES.map((name) => `'${name}'`).join(', ')}`, from, hint)
}
