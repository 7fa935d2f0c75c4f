import { SessionStoreError } from './errors'

/** What the driver reported, without its text and bindings, which may contain session ids and data. */
export interface DriverFailure {
  /** The driver's own code, if it gave one. */
  readonly driverCode: string | undefined
}

/** A statement failed in the database or on the way to it. `driverCode` is the driver's own code, if it gave one. */
export class DatabaseError extends SessionStoreError {
  readonly code: string = 'ERR_SESSION_DATABASE'
  /** The driver's own code, if it gave one: `42501`, `SQLITE_FULL`, `ECONNREFUSED`. */
  readonly driverCode: string | undefined

  constructor(
    readonly operation: string,
    readonly dialect: string,
    driverCode: string | undefined,
    detail = 'the database refused the statement; the driver code or the log of the database says why'
  ) {
    const failure: DriverFailure = { driverCode }
    super(`session ${operation} failed on ${dialect}: ${detail}${driverCode ? ` (driver code ${driverCode})` : ''}`, { cause: failure })
    this.driverCode = driverCode
  }
}

/** The database only takes reads: it is a standby, or a read-only transaction or file. */
export class ReadOnlyDatabaseError extends DatabaseError {
  override readonly code = 'ERR_SESSION_READ_ONLY'

  constructor(
    operation: string,
    dialect: string,
    driverCode: string | undefined,
    detail = 'it is a standby, or a read-only transaction or file; give the store a Knex of the primary'
  ) {
    super(operation, dialect, driverCode, `this database is read-only: ${detail}`)
  }
}

/**
 * Why the database did not carry out a statement. `'conflict'`: a deadlock, a serialization failure, a busy database. `'locked'`: another
 * transaction holds a lock on the row. `'ended'`: a time limit of the server or an administrator ended it.
 */
export type TransientReason = 'conflict' | 'locked' | 'ended'

const GIVEN_UP: Readonly<Record<TransientReason, string>> = {
  conflict:
    'the database rolled the statement back again and again because of conflicts with other transactions; repeat the call later, and keep transactions short',
  locked: 'another transaction holds a lock on the row for longer than a statement may wait; end that transaction sooner',
  ended:
    'the server ended the statement twice: because of a time limit on the server (statement_timeout, max_statement_time or the like; raise it for the user of the Knex, or find out what makes the statements slow), or because an administrator ended it'
}

/** The database did not carry the statement out, because of other transactions or a limit of time. It was tried again before. */
export class TransientDatabaseError extends DatabaseError {
  override readonly code: string = 'ERR_SESSION_DATABASE_BUSY'

  constructor(
    operation: string,
    dialect: string,
    driverCode: string | undefined,
    /** @default 'conflict' */
    readonly reason: TransientReason = 'conflict',
    detail = GIVEN_UP[reason]
  ) {
    super(operation, dialect, driverCode, detail)
  }
}

/** The database could not be reached, or the connection was lost. */
export class DatabaseUnreachableError extends DatabaseError {
  override readonly code: string = 'ERR_SESSION_DATABASE_UNREACHABLE'

  constructor(
    operation: string,
    dialect: string,
    driverCode: string | undefined,
    detail = 'the database could not be reached or the connection was lost; check whether the server runs, and the network between'
  ) {
    super(operation, dialect, driverCode, detail)
  }
}

/** The row is larger than the server accepts. */
export class RecordTooLargeError extends DatabaseError {
  override readonly code = 'ERR_SESSION_RECORD_TOO_LARGE'

  constructor(operation: string, dialect: string, driverCode: string | undefined, sizeLimit: string) {
    super(
      operation,
      dialect,
      driverCode,
      `the session is larger than the database accepts (${sizeLimit}); keep less in the session, or raise that limit. The option maxDataBytes refuses such a session before it is sent`
    )
  }
}

/** What became of a write that timed out: it will never be in the database, or nobody can tell. */
export type TimeoutOutcome = 'not-written' | 'unknown'

const READS: ReadonlySet<string> = new Set(['get', 'all', 'ids', 'length', 'ofOwner', 'countOf', 'countByOwner', 'health', 'scan'])
const WRITES: ReadonlySet<string> = new Set(['set', 'touch', 'destroy', 'clear', 'destroyOwner', 'destroyHandle'])
const OUTCOMES: Readonly<Record<TimeoutOutcome, string>> = {
  'not-written': '; the change was not written, and will not be',
  unknown: '; it is not known whether the change was written, because the server could not be told to end the statement'
}

const CONNECTING =
  '. The connection was still being made: check whether the server runs, whether host and port in the connection of the Knex configuration are right, and whether a firewall blocks the connection'

/** No answer within `timeoutMs`. The statement has been ended on the server, or the error says that this is not known. */
export class TimeoutError extends SessionStoreError {
  readonly code = 'ERR_SESSION_TIMEOUT'
  /** Of a call that only reads: `'not-written'`. */
  readonly outcome: TimeoutOutcome

  constructor(
    readonly operation: string,
    readonly timeoutMs: number,
    outcome: TimeoutOutcome = 'unknown',
    /** True if the time was over while the connection was being made. */
    readonly whileConnecting = false
  ) {
    const became = WRITES.has(operation) ? OUTCOMES[outcome] : ''
    const why = whileConnecting ? CONNECTING : ''
    super(`session ${operation} had no response from the database within ${timeoutMs} ms (option timeoutMs)${became}${why}`)
    this.outcome = READS.has(operation) ? 'not-written' : outcome
  }
}

/**
 * Another connection, mostly of another process, holds a lock of the database file for as long as a statement may wait. The statement was
 * not run.
 */
export class DatabaseLockedError extends TransientDatabaseError {
  override readonly code = 'ERR_SESSION_DATABASE_LOCKED'

  constructor(
    operation: string,
    dialect: string,
    driverCode: string | undefined,
    readonly waitedMs: number
  ) {
    super(
      operation,
      dialect,
      driverCode,
      'locked',
      `another connection holds a lock of the database file, and did not release it within ${waitedMs} ms (option timeoutMs); keep transactions short in every process that uses the file`
    )
  }
}

/** How full a pool is. */
export interface PoolUsage {
  /** How many connections are in use. */
  readonly used: number
  /** How many connections the pool may have: `pool.max`. */
  readonly max: number
  /** How many calls wait for a connection. */
  readonly waiting: number
  /** How many of the connections in use are lent to statements of this package. */
  readonly own: number
  /** True if the only connection is known to be inside a transaction. */
  readonly isInTransaction: boolean
}

/** All connections of the Knex pool were in use by the application for as long as a statement may wait. The statement was not sent. */
export class PoolExhaustedError extends DatabaseUnreachableError {
  override readonly code = 'ERR_SESSION_POOL_EXHAUSTED'

  constructor(
    operation: string,
    dialect: string,
    readonly usage: PoolUsage,
    readonly waitedMs: number,
    /** Which time was over: the store's option, or the shorter one of the Knex configuration. */
    readonly limit: 'timeoutMs' | 'acquireConnectionTimeout' = 'timeoutMs'
  ) {
    super(operation, dialect, undefined, describeUsage(usage, waitedMs, limit))
  }
}

function describeUsage(usage: PoolUsage, waitedMs: number, limit: PoolExhaustedError['limit']): string {
  const { used, max, waiting, own, isInTransaction } = usage
  const setting = limit === 'timeoutMs' ? 'option timeoutMs' : 'acquireConnectionTimeout of the Knex configuration'
  const holder = isInTransaction ? 'a transaction of the application holds it' : 'transactions or queries of the application hold them'
  return `no connection of the Knex pool became free in ${waitedMs} ms (${setting}): ${used} of ${max} in use${own > 0 ? ` (${own} by session statements)` : ''}, ${waiting} waiting; ${holder}. Inside a transaction use store.withTransaction(trx), which needs no further connection; else end transactions sooner (one that is neither committed nor rolled back holds its connection for good), or give the pool more connections (pool.max of the Knex configuration)`
}
