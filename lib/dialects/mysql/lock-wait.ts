import type { Database } from '../../knex/database'

/** MariaDB waits for a locked row for whole seconds. A wait that is shorter than this, in milliseconds, becomes no wait at all. */
const LONGEST_SHORT_MS = 50

/** MariaDB's errors for a statement whose time is over, and for a statement that waited too long for a locked row. */
const ER_STATEMENT_TIMEOUT = 1969
const ER_LOCK_WAIT_TIMEOUT = 1205

/**
 * Runs a statement so that it waits for locked rows no longer than it may. A longer wait is bounded by the time of the whole statement,
 * because that time is finer than the time of a wait for a lock. The bound is in a comment, which MariaDB from 10.3.2 on takes as a part of
 * the statement. MySQL has no bound for a single writing statement.
 */
export async function withLockWait<T>({ lockWaitMs }: Database, sql: string, run: (sql: string) => Promise<T>): Promise<T> {
  if (lockWaitMs === undefined) return run(sql)
  const isShort = lockWaitMs <= LONGEST_SHORT_MS
  const bound = isShort ? 'innodb_lock_wait_timeout=0' : `max_statement_time=${lockWaitMs / 1000}`
  try {
    return await run(`/*M!100302 SET STATEMENT ${bound} FOR */ ${sql}`)
  } catch (error) {
    const hasWaited = !isShort && (error as { errno?: unknown } | null)?.errno === ER_STATEMENT_TIMEOUT
    throw hasWaited ? new LockWaitError() : error
  }
}

/** The time that we gave the statement is over. It looks like the server's own error of a wait for a lock. */
class LockWaitError extends Error {
  readonly code = 'ER_LOCK_WAIT_TIMEOUT'
  readonly errno = ER_LOCK_WAIT_TIMEOUT
}
