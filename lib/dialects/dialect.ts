import type { Database, DriverKnowledge } from '../knex/database'
import type { StatementEnding } from '../knex/statement-ending'
import type { RecordToPut, RecordToTouch, RecordToUpdate, SessionRecord } from '../record/session-record'
import type { Soon } from '../runtime/soon'
import type { Explanations } from './explanations'
import type { FoundTable } from './found-table'
import type { TableDefinition } from './table-definition'

/** Which writes wait for the disk: all, all but touches, or only those that destroy a session. */
export type Durability = 'all' | 'sets' | 'none'

/** The meaning of a driver's error, recognised by its code. */
export type Diagnosis =
  /** No such table or schema. */
  | 'table-missing'
  /** The code says "something about this statement"; a look at the schema must tell whether the table is missing. */
  | 'table-perhaps-missing'
  /** Deadlock, serialization failure, busy: the same statement may well succeed now. */
  | 'transient'
  /** The statement waited for a row that another transaction has locked, for as long as it may. */
  | 'locked'
  /** The server ended the statement, because this process or another told it to, or because of its own time limit. */
  | 'ended'
  /** The connection is lost or cannot be made. */
  | 'unreachable'
  | 'read-only'
  /** The user may not do this. */
  | 'denied'
  /** Larger than the server accepts. */
  | 'too-large'
  /** A statement prepared before is not known, or known already: something between us and the server changes its connections. */
  | 'unprepared'
  /** Anything else: very likely one row's fault. */
  | 'other'

/**
 * The revision of a row where the database does not tell it, and another statement would be needed to learn it. No row ever has this
 * revision.
 */
export const UNKNOWN_REVISION = 0

/**
 * The statements of every request, for one table. Each takes many rows and returns a result for each of them, in the order given. No id
 * occurs twice in one call. If the database is in this process, the results are there at once. `now` is the store's clock, in milliseconds
 * since the epoch.
 */
export interface SessionStatements {
  /** The rows that exist, dead or alive, in any order. */
  load(db: Database, ids: readonly string[]): Soon<SessionRecord[]>
  /** Inserts the rows whose id does not exist yet, dead or alive. */
  insert(db: Database, records: readonly RecordToPut[], now: number): Soon<void>
  /** Inserts or overwrites. Returns the revision that each row has now, or {@link UNKNOWN_REVISION}. */
  put(db: Database, records: readonly RecordToPut[], now: number): Soon<number[]>
  /** Inserts, or overwrites a live row. Returns the same, or null for the row of a dead session, which stays as it is. */
  putUnlessDead(db: Database, records: readonly RecordToPut[], now: number): Soon<(number | null)[]>
  /** Overwrites live rows at the given revision; the later expiry stays. Returns which rows it changed. */
  update(db: Database, records: readonly RecordToUpdate[], now: number): Soon<boolean[]>
  /** The same, with exactly the expiry given: for a session whose life was shortened on purpose. */
  updateWithExpiry(db: Database, records: readonly RecordToUpdate[], now: number): Soon<boolean[]>
  /** Renews the expiry of live rows. Returns how many were alive. */
  touch(db: Database, records: readonly RecordToTouch[], now: number): Soon<number>
  /** Blanks the rows and ends their life. They stay until they are pruned, so that no request revives them meanwhile. */
  remove(db: Database, ids: readonly string[], pruneHour: number): Soon<void>
  /**
   * Deletes rows that ended more than `graceMs` ago by the clock of the database and by that of the store: about `limit`, and at most so
   * many by one statement. Returns how many; fewer than `limit` if no more are left.
   */
  prune(db: Database, graceMs: number, limit: number, now: number): Promise<number>
  /** Takes or renews the lease `id`, kept as a dead row of the table, for `leaseMs` by the database's clock. False if another holds it. */
  claim(db: Database, id: string, leaseMs: number): Promise<boolean>
}

/** How a table is kept, apart from its layout. */
export interface TableStorage {
  /** Not in the write-ahead log: fast, and empty after a crash. */
  readonly unlogged: boolean
}

/** The privileges on the sessions table that a user lacks. */
export interface Privileges {
  /** As a GRANT names the user. */
  readonly user: string
  readonly lacking: readonly string[]
  /** What has to be granted before the privileges on the table, if anything. */
  readonly before?: string
}

/** What really differs between databases. Everything outside `dialects/` is dialect-agnostic. */
export interface Dialect {
  /** For messages and events. */
  readonly name: string
  /** Why the name cannot be a table, schema or column here, or undefined if it can. */
  refusal(name: string): string | undefined
  /** The quoted name, with its schema if it has one. */
  quote(...path: (string | undefined)[]): string
  /** The number of characters of a text expression. */
  characters(expression: string): string
  /** A column of text in a select list, in a form that {@link Dialect.select} can return unchanged. */
  text(column: string): string
  /** Runs a query; the rows come as arrays, in the order of the select list. */
  select(db: Database, sql: string, bindings: readonly unknown[]): Promise<unknown[][]>
  /** True if statements run in this process and may hold up its event loop. Then no statement may look at many rows. */
  readonly isInProcess: boolean
  /** Describes whatever has the table's name; null if nothing has. One statement. */
  describe(db: Database, table: TableDefinition): Promise<FoundTable | null>
  /** Whether two names mean the same column. */
  isSameColumn(name: string, other: string): boolean
  /** Creates the table with its indexes, all or nothing. Fails if another process is faster. */
  create(db: Database, table: TableDefinition, storage: TableStorage): Promise<void>
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
  /** How many reads and writes are worth having in flight at once, and how many more while some of them are slow. */
  readonly inFlight: { readonly reads: number; readonly writes: number; readonly spare: number }
}

/** A row as every dialect selects it: id, data, expiry, revision, beginning. Drivers give large numbers as texts. */
export function toRecord(row: readonly unknown[]): SessionRecord {
  return {
    id: row[0] as string,
    data: row[1] as string,
    expiresAt: Number(row[2]),
    revision: Number(row[3]),
    createdAt: Number(row[4])
  }
}

/** For databases to which `ID` and `id` are one column. */
export function isSameFolded(name: string, other: string): boolean {
  return name.toLowerCase() === other.toLowerCase()
}

/** Names quoted as the SQL standard has it, with dots between them. */
export function doubleQuoted(...path: (string | undefined)[]): string {
  return path
    .filter((name) => name !== undefined)
    .map((name) => `"${name.replaceAll('"', '""')}"`)
    .join('.')
}

/** Tells what an error says of the connection, by the dialect's diagnosis. */
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

/** The driver's code of an error, if it has one. Nothing else of the error may be shown. */
export function driverCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' || typeof code === 'number' ? String(code) : undefined
}

/** Codes of the operating system that mean "the server is not there or went away". */
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
