import type { Database, DriverKnowledge } from '../knex/database'
import type { StatementEnding } from '../knex/statement-ending'
import type { RecordToPut, RecordToTouch, RecordToUpdate, RecordToUpdateWithLife, SessionRecord } from '../record/session-record'
import type { MaybePromise } from '../runtime/maybe-promise'
import type { Explanations } from './explanations'
import type { FoundTable } from './found-table'
import type { TableDefinition } from './table-definition'

/** Which writes wait for the disk: `'all'` of them, `'sets'` (all but touches), or `'none'` but those that destroy a session. */
export type Durability = 'all' | 'sets' | 'none'

/** The meaning of a driver's error, recognised by its code. */
export type Diagnosis =
  /** No such table or schema. */
  | 'table-missing'
  /** The code says only that a column is missing, or that something is wrong. A look at the schema must tell whether the table is ours. */
  | 'table-perhaps-missing'
  /** Deadlock, serialization failure, busy: the same statement may well succeed now. */
  | 'transient'
  /** The statement waited for a row that another transaction has locked, as long as it may wait. */
  | 'locked'
  /** The server ended the statement, because this process or another told it to, or because of its own time limit. */
  | 'ended'
  /** The connection is lost or cannot be made. */
  | 'unreachable'
  | 'read-only'
  /** A constraint or a unique index refuses the row. The table as this package makes it has none that does. */
  | 'constraint'
  /** The user may not do this. */
  | 'denied'
  /** Larger than the server accepts. */
  | 'too-large'
  /**
   * The server does not know a statement that was prepared, or knows it already. Something between us and the server changes the
   * connections.
   */
  | 'unprepared'
  /** Anything else. Mostly one row is at fault. */
  | 'other'

/** Stands for a revision that the database does not tell and that another statement would have to read. No row ever has this revision. */
export const UNKNOWN_REVISION = 0

/**
 * The statements of every request, for one table. Each takes many rows and returns a result for each of them, in the given order. No id
 * occurs twice in one call. If the database is in this process, the results are returned at once, without a promise. `now` is the store's
 * clock, in milliseconds since the epoch.
 */
export interface SessionStatements {
  /** Returns the rows that exist, dead or alive, in any order. */
  load(db: Database, ids: readonly string[]): MaybePromise<SessionRecord[]>
  /** Inserts the rows whose id does not exist. A row of a dead session counts as existing. */
  insert(db: Database, records: readonly RecordToPut[], now: number): MaybePromise<void>
  /** Inserts or overwrites rows. Returns the new revision of each row, or {@link UNKNOWN_REVISION}. */
  put(db: Database, records: readonly RecordToPut[], now: number): MaybePromise<number[]>
  /** Inserts rows or overwrites live rows. Returns the same. For the row of a dead session, which stays as it is, returns null. */
  putUnlessDead(db: Database, records: readonly RecordToPut[], now: number): MaybePromise<(number | null)[]>
  /** Overwrites live rows at the given revision. The later expiry stays. Returns which rows it changed. */
  update(db: Database, records: readonly RecordToUpdate[], now: number): MaybePromise<boolean[]>
  /** The same for sessions whose life begins anew or was changed on purpose. */
  updateWithLife(db: Database, records: readonly RecordToUpdateWithLife[], now: number): MaybePromise<boolean[]>
  /** Renews the expiry of live rows. Returns how many rows were alive. */
  touch(db: Database, records: readonly RecordToTouch[], now: number): MaybePromise<number>
  /** Blanks the rows and ends their life. They stay until they are pruned, so that no request revives them meanwhile. */
  remove(db: Database, ids: readonly string[], pruneHour: number): MaybePromise<void>
  /**
   * Deletes rows that ended more than `graceMs` ago, by the clock of the database and by the clock of the store: about `limit` rows, and at
   * most so many by one statement. Returns how many rows it deleted. Fewer than `limit` means that no more are left.
   */
  prune(db: Database, graceMs: number, limit: number, now: number): Promise<number>
  /**
   * Takes or renews the lease `id` for `leaseMs`, by the clock of the database. The lease is a dead row of the table. Returns false if
   * another process has the lease.
   */
  claim(db: Database, id: string, leaseMs: number): Promise<boolean>
  /**
   * Stores the mark of a log-out everywhere under `id`, with the current time of the database's clock. The mark is a dead row of the table,
   * which may be pruned after `graceMs`. It replaces an earlier mark.
   */
  mark(db: Database, id: string, mark: MarkData, graceMs: number): Promise<void>
  /** Returns the mark, or undefined if there is none. */
  markOf(db: Database, id: string): Promise<OwnerMark | undefined>
}

/** The mark of the last log-out everywhere of an owner: the moment when all sessions of the owner were ended. */
export interface OwnerMark extends MarkData {
  /** The age of the mark by the clock of the database, in whole milliseconds. */
  readonly agoMs: number
}

/** What the row of a mark holds as its data. */
export interface MarkData {
  /** Hashes of the handles that the kept session may have. They are hashed because a handle that the caller gave may be a session id. */
  readonly kept: readonly string[]
  /** A random text, by which a process recognises the marks that it made. */
  readonly token: string
}

/** How a table is stored, apart from its layout. */
export interface TableStorage {
  /** True for a table outside of the write-ahead log. It is fast, and empty after a crash. */
  readonly unlogged: boolean
  /** Whether the data is compressed in the newer way, which costs less to write. Not every server can. */
  readonly lz4: boolean
}

/** The order of a column of another program, by the rules of that column: its type, character set and collation. */
export interface ForeignOrder {
  /** Selects where a row is in the order, exactly. */
  readonly place: readonly string[]
  /** The condition for the rows after that place. */
  after(place: readonly unknown[]): { readonly sql: string; readonly bindings: readonly unknown[] }
}

/** The privileges on the sessions table that a user lacks. */
export interface Privileges {
  /** The user's name as a GRANT writes it. */
  readonly user: string
  readonly lacking: readonly string[]
  /** What has to be granted before the privileges on the table; undefined if nothing. */
  readonly before?: string
}

/** How often an index was used since the database began to count. It depends on the database what one use is: a search, or a row. */
export interface IndexUse {
  readonly name: string
  readonly uses: number
}

/** A setting with which sessions may be lost, and what to do about it. */
export interface SettingProblem {
  readonly what: string
  readonly mend: string
}

/** Returns the uses of rows as every dialect selects them: name, number. */
export function toIndexUses(rows: readonly (readonly unknown[])[]): IndexUse[] {
  return rows.map(([name, uses]) => ({ name: String(name), uses: Number(uses) }))
}

/** Everything that differs between databases. The code outside of `dialects/` does not know which database it is. */
export interface Dialect {
  /** For messages and events. */
  readonly name: string
  /** Returns why the name cannot be the name of a table, schema or column here. Returns undefined if it can. */
  refusal(name: string): string | undefined
  /** The quoted name, with its schema if it has one. */
  quote(...path: (string | undefined)[]): string
  /** The number of characters of a text expression. */
  characters(expression: string): string
  /**
   * The moment in a column of another program, in milliseconds since the epoch; NULL if it is none. Where the column has no time zone, the
   * moment is in the zone that the connection has, or that a new connection of this user has.
   */
  epochMs(column: string, zone: 'of the connection' | 'of a new connection'): string
  /** A column of another program in a select list, as text, whatever its type and its character set are. */
  foreignText(column: string): string
  /** How rows of another program's table are read in pages, in the order of a column of any type and character set. NULL comes nowhere. */
  foreignOrder(db: Database, table: string, column: string): Promise<ForeignOrder>
  /** A column of text in a select list, in a form that {@link Dialect.select} can return unchanged. */
  text(column: string): string
  /** Runs a query. The rows are arrays, in the order of the select list. */
  select(db: Database, sql: string, bindings: readonly unknown[]): Promise<unknown[][]>
  /** Runs an UPDATE. Returns the number of rows that it matched, or, depending on the settings of the connection, that it changed. */
  change(db: Database, sql: string, bindings: readonly unknown[]): Promise<number>
  /** The bytes of the table with its indexes, in memory or on disk; undefined where the database cannot tell. */
  size(db: Database, table: TableDefinition): Promise<number | undefined>
  /** How often each index of the table was used, in the order of their names; undefined where the database does not count it. */
  indexUses(db: Database, table: TableDefinition): Promise<readonly IndexUse[] | undefined>
  /** The settings of a connection with which sessions may be lost, where the database has such settings. */
  settingProblems?(db: Database): Promise<readonly SettingProblem[]>
  /** True if statements run in this process and may hold up its event loop. Then no statement may look at many rows. */
  readonly isInProcess: boolean
  /** Describes whatever has the name of the table; null if nothing has this name. Takes one statement. */
  describe(db: Database, table: TableDefinition): Promise<FoundTable | null>
  /** Whether two names mean the same column. */
  isSameColumn(name: string, other: string): boolean
  /** Returns the statements that create the table with its indexes, where nothing has their names. */
  creation(table: TableDefinition, storage: TableStorage): string[]
  /** Runs them, all or nothing. Fails if another process is faster. */
  create(db: Database, table: TableDefinition, storage: Pick<TableStorage, 'unlogged'>): Promise<void>
  /** False where creating a table commits the transaction it is done in. */
  readonly createsInTransaction: boolean
  /** Drops the table if it exists. */
  drop(db: Database, table: TableDefinition): Promise<void>
  /** Returns the statements on the table. */
  statements(table: TableDefinition): SessionStatements
  /** How a statement is ended on the server. Undefined if the database is in this process: there is no server to tell. */
  readonly ending?: StatementEnding
  /** Returns the meaning of a driver's error, by its code. */
  diagnose(error: unknown): Diagnosis
  /** The meaning of the driver's errors, and what to do about them. */
  readonly explanations: Explanations
  /** The statement that lets a user make the table. */
  grantCreate(table: TableDefinition): string
  /** Asks the server for the user's name and the privileges on the table that it lacks, after an error of the diagnosis `denied`. */
  privileges(db: Database, table: TableDefinition, error: unknown): Promise<Privileges>
  /** Whether a table can be left out of the write-ahead log. */
  readonly supportsUnlogged: boolean
  /** What bounds the size of a row, for the message of the error. */
  readonly sizeLimit: string
  /** The most rows one statement takes. */
  readonly maxBatch: number
  /** How many reads and how many writes may usefully be in flight at once, and how many more while some of them are slow. */
  readonly inFlight: { readonly reads: number; readonly writes: number; readonly spare: number }
}

/** A row as every dialect selects it: id, data, expiry, revision, beginning, owner. Drivers return large numbers as text. */
export function toRecord(row: readonly unknown[]): SessionRecord {
  return {
    id: row[0] as string,
    data: row[1] as string,
    expiresAt: Number(row[2]),
    revision: Number(row[3]),
    createdAt: Number(row[4]),
    ownerId: row[5] as string | null
  }
}

/** Converts the row of a mark as every dialect selects it: data, age. The data is an object in JSON, as in every row. */
export function toMark(row: readonly unknown[] | undefined): OwnerMark | undefined {
  if (row === undefined) return undefined
  return { ...markIn(row[0] as string), agoMs: Number(row[1]) }
}

/** Parses the data of a mark. */
export function markIn(data: string): MarkData {
  return JSON.parse(data) as MarkData
}

/** For databases to which `ID` and `id` are one column. */
export function isSameFolded(name: string, other: string): boolean {
  return name.toLowerCase() === other.toLowerCase()
}

/** Returns the names, quoted as the SQL standard does it, with dots between them. */
export function doubleQuoted(...path: (string | undefined)[]): string {
  return path
    .filter((name) => name !== undefined)
    .map((name) => `"${name.replaceAll('"', '""')}"`)
    .join('.')
}

/** Tells what an error says about the connection, by the dialect's diagnosis. */
export function driverOf(dialect: Dialect): DriverKnowledge {
  return {
    ending: dialect.ending,
    judge: (error) => {
      const diagnosis = dialect.diagnose(error)
      if (diagnosis === 'unreachable') return 'lost'
      return diagnosis === 'read-only' ? 'read-only' : 'sound'
    }
  }
}

/** Returns the driver's code of an error, if it has one. No other part of the error may be shown. */
export function driverCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' || typeof code === 'number' ? String(code) : undefined
}

/** Codes of the operating system that mean "the server is not there, or it went away". */
export const NETWORK_CODES: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ENOENT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
  'ENOTCONN',
  'ESOCKET'
])
