import { DatabaseUnreachableError, TransientDatabaseError } from './errors'

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
      `another connection holds a lock of the database file, waited ${waitedMs} ms for it (option timeoutMs); keep transactions short in every process that uses the file`
    )
  }
}

/** How full a pool is. */
export interface PoolUsage {
  readonly used: number
  readonly max: number
  /** How many wait for a connection. */
  readonly waiting: number
  /** How many of those in use are lent to statements of this package. */
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
    readonly waitedMs: number
  ) {
    super(operation, dialect, undefined, describeUsage(usage, waitedMs))
  }
}

function describeUsage({ used, max, waiting, own, isInTransaction }: PoolUsage, waitedMs: number): string {
  const holder = isInTransaction ? 'a transaction of the application holds it' : 'transactions or queries of the application hold them'
  return `no connection of the Knex pool became free in ${waitedMs} ms (option timeoutMs): ${used} of ${max} in use${own > 0 ? ` (${own} by session statements)` : ''}, ${waiting} waiting; ${holder}. Inside a transaction use store.withTransaction(trx), which needs no further connection; else end transactions sooner, or give the pool more connections (pool.max of the Knex configuration)`
}
