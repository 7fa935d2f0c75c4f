import type { TableDefinition } from '../dialects/table-definition'
import { InvalidOptionError } from '../errors'
import { nearest } from '../unknown-option'

/** The packages whose tables can be imported. */
export type ImportSource =
  | 'better-sqlite3-session-store'
  | 'connect-pg-simple'
  | 'connect-session-knex'
  | 'connect-sqlite3'
  | 'express-mysql-session'

/**
 * What the column of the expiry holds: a number since the epoch, or a timestamp. A timestamp without a time zone is in the time zone of the
 * connection that wrote it. connect-session-knex wrote on a connection of the application's Knex, connect-pg-simple on a connection of its
 * own.
 */
type Expiry = 'seconds' | 'milliseconds' | 'moment of the connection' | 'moment of a new connection'

/** The table layout of another store. */
interface Format {
  readonly tableName: string
  readonly id: string
  /** The column of the session, which is JSON. */
  readonly data: string
  readonly expires: string
  readonly expiry: Expiry
}

/** The layouts as the packages create and fill their tables. */
const FORMATS: Readonly<Record<ImportSource, Format>> = {
  'better-sqlite3-session-store': { tableName: 'sessions', id: 'sid', data: 'sess', expires: 'expire', expiry: 'moment of the connection' },
  'connect-pg-simple': { tableName: 'session', id: 'sid', data: 'sess', expires: 'expire', expiry: 'moment of a new connection' },
  'connect-session-knex': { tableName: 'sessions', id: 'sid', data: 'sess', expires: 'expired', expiry: 'moment of the connection' },
  'connect-sqlite3': { tableName: 'sessions', id: 'sid', data: 'sess', expires: 'expired', expiry: 'milliseconds' },
  'express-mysql-session': { tableName: 'sessions', id: 'session_id', data: 'data', expires: 'expires', expiry: 'seconds' }
}

/** The names of the packages whose tables can be imported. */
export const IMPORT_SOURCES = Object.keys(FORMATS) as ImportSource[]

/** Options that name the table of the other store. */
export interface ImportSourceOptions {
  /** The package that wrote the table. */
  from: ImportSource
  /** The name of the table. @default the default of the package: `'session'` for connect-pg-simple, else `'sessions'` */
  fromTable?: string
  /** The schema of the table. @default the schema that the connection uses */
  fromSchema?: string
  /** Names of columns that differ from those of the package. @default the names of the package */
  fromColumns?: { id?: string; data?: string; expires?: string }
}

/** The same options before they are checked: any of them may be undefined. */
type GivenSource = { readonly [Key in keyof ImportSourceOptions]: ImportSourceOptions[Key] | undefined }

/** The table to read, with all defaults filled in. */
export interface Source {
  readonly from: ImportSource
  readonly tableName: string
  readonly schemaName: string | undefined
  readonly columns: { readonly id: string; readonly data: string; readonly expires: string }
  readonly expiry: Expiry
}

/**
 * Checks the options and fills in the defaults of the package.
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
