import type { Database } from '../../knex/database'
import { type ConnectionPool, isPlainPool } from '../../knex/knex-client'
import { uniqueId } from '../../knex/statement-events'
import { getOrMake } from '../../runtime/get-or-make'
import { isPromiseLike, type MaybePromise } from '../../runtime/maybe-promise'
import { monotonicNow } from '../../runtime/natives'
import { BusyTimeout } from './busy-timeout'
import { type DirectConnection, prepared } from './direct-connection'
import { control, runHeard, takeBack } from './heard-statements'
import { isLockError, LockQueue, pauseAfter } from './lock-queue'

/** The rows that a statement returned, as arrays in the order of its columns. */
export interface Outcome {
  readonly rows: unknown[][]
}

const NOTHING: Outcome = { rows: [] }

/** A statement with its bindings. */
export interface Step {
  readonly sql: string
  readonly bindings: readonly unknown[]
}

/**
 * Runs the same writing statement once for each set of bindings, all or nothing, in one turn of the connection.
 *
 * On better-sqlite3, Knex's own path costs more than the query. So this takes the connection from Knex's pool, runs prepared statements
 * synchronously, and gives the connection back at once. With other drivers, each statement goes through the driver's own queue.
 */
export function writeEach(db: Database, sql: string, sets: readonly (readonly unknown[])[]): MaybePromise<Outcome[]> {
  return writeFirstThatHits(
    db,
    sets.map((bindings) => [{ sql, bindings }])
  )
}

/**
 * Runs the steps of each row until one of them returns something. That is the outcome of the row. If no step returns anything, the outcome
 * is that of the last step.
 */
export function writeFirstThatHits(db: Database, rows: readonly (readonly Step[])[]): MaybePromise<Outcome[]> {
  if (!isDirect(db)) {
    const alone = rows.length === 1 || db.isTransaction
    return alone ? stepThroughKnex(db, rows) : db.transaction((trx) => stepThroughKnex(trx, rows))
  }
  // A step that found no row has changed nothing. So one row needs no transaction.
  return onConnection(db, {
    intent: 'write',
    isAtomic: rows.length > 1,
    run: (connection) => rows.map((steps) => runUntilHit(db, connection, steps))
  })
}

/** Runs a reading statement. */
export function read(db: Database, step: Step): MaybePromise<unknown[][]> {
  if (!isDirect(db)) return runThroughKnex(db, step).then(({ rows }) => rows)
  return onConnection(db, { intent: 'read', isAtomic: false, run: (connection) => runStep(db, connection, step).rows })
}

/**
 * Returns the row that a reading statement finds by each key. Many rows are read in one transaction. In a transaction of its own, each read
 * would lock the file, look whether it has changed, and unlock it. That costs two fifths of the reading.
 */
export function readByKey(db: Database, sql: string, keys: readonly unknown[]): MaybePromise<(unknown[] | undefined)[]> {
  if (!isDirect(db)) return readThroughKnex(db, sql, keys)
  return onConnection(db, {
    intent: 'read',
    isAtomic: keys.length > 1,
    run: (connection) => {
      const isHeard = db.isListenedTo
      return keys.map((key) => (isHeard ? runHeard(db, connection, sql, [key])[0] : prepared(connection, sql).get(key)))
    }
  })
}

async function readThroughKnex(db: Database, sql: string, keys: readonly unknown[]): Promise<(unknown[] | undefined)[]> {
  const rows: (unknown[] | undefined)[] = []
  for (const key of keys) rows.push((await runThroughKnex(db, { sql, bindings: [key] })).rows[0])
  return rows
}

/** Runs statements without bindings, all or nothing. */
export async function runScript(db: Database, statements: readonly string[]): Promise<void> {
  if (!isDirect(db)) {
    await db.transaction(async (trx) => {
      for (const sql of statements) await trx.run(sql)
    })
    return
  }
  const run = (connection: DirectConnection) => {
    if (db.isListenedTo) for (const sql of statements) runHeard(db, connection, sql, [])
    else connection.exec(statements.join(';\n'))
  }
  await onConnection(db, {
    intent: 'write',
    isAtomic: true,
    run,
    runInside: (connection) => inSavepoint(db, connection, () => run(connection))
  })
}

/** The synchronous work on a connection. */
interface Work<T> {
  readonly intent: 'read' | 'write'
  /** True if the work must be done completely or not at all, or if one transaction is cheaper than many. */
  readonly isAtomic: boolean
  readonly run: (connection: DirectConnection) => T
  /** The same inside a transaction of the application, if it is done in another way there. */
  readonly runInside?: (connection: DirectConnection) => T
}

const BEGIN = {
  read: 'BEGIN',
  /**
   * With a plain BEGIN, two processes that both read first and then write would refuse each other at once. With this, they wait their turn.
   */
  write: 'BEGIN IMMEDIATE'
}
/** Takes the lock for reading. BEGIN alone does not take it. */
const TAKE_READ_LOCK = 'SELECT 1 FROM sqlite_master LIMIT 1'

/** The connection that each pool gave out last. */
const lastOf = new WeakMap<ConnectionPool, DirectConnection>()

/** The work of each pool that waits for locks. Reads and writes need different locks, and do not wait for each other. */
const queuesOf = new WeakMap<ConnectionPool, { readonly read: LockQueue; readonly write: LockQueue }>()

/**
 * Does the work on the connection of Knex's pool. If the connection is idle, the work is done at once. It is over before other code can
 * take the connection, and to wait for the pool would cost several times as much as a statement.
 *
 * If another connection holds a lock, the work is tried again until the time of a statement is over. Between two tries the connection goes
 * back to the pool. In a transaction of the application, the work is not tried again, and waits as long as the application has set.
 */
function onConnection<T>(db: Database, work: Work<T>): MaybePromise<T> {
  const { pool } = db.client
  if (db.isTransaction || pool === undefined) return onAcquired(db, (connection) => perform(db, connection, work))
  const queue = queueOf(pool, work)
  const again = (failure?: unknown) => queue.run(db, (until) => onAcquired(db, (held) => performHolding(db, held, work, until)), failure)
  if (!queue.isEmpty) return again()
  const recover = (failure: unknown) => {
    if (isLockError(failure)) return again(failure)
    throw failure
  }
  const idle = idleConnection(db)
  if (idle === undefined) return onAcquired(db, (connection) => perform(db, connection, work)).catch(recover)
  try {
    return perform(db, idle, work)
  } catch (failure) {
    return recover(failure)
  }
}

function queueOf(pool: ConnectionPool, { intent }: Work<unknown>): LockQueue {
  return getOrMake(queuesOf, pool, () => ({ read: new LockQueue(), write: new LockQueue() }))[intent]
}

async function onAcquired<T>(db: Database, work: (connection: DirectConnection) => MaybePromise<T>): Promise<T> {
  const connection = (await db.acquire()) as DirectConnection
  if (db.client.pool !== undefined) lastOf.set(db.client.pool, connection)
  try {
    db.refuseEnded()
    db.refuseIfGivenUp()
    const result = work(connection)
    return isPromiseLike(result) ? await result : result
  } finally {
    db.release(connection)
  }
}

function perform<T>(db: Database, connection: DirectConnection, { intent, isAtomic, run, runInside = run }: Work<T>): T {
  if (connection.inTransaction) return runInside(connection)
  const work = () => (isAtomic ? inTransaction(db, connection, BEGIN[intent], run) : run(connection))
  const timeout = BusyTimeout.of(connection)
  return intent === 'read' ? timeout.withoutForReading(work) : timeout.without(work)
}

/**
 * The same in a transaction that takes the lock first, on a connection that no other code uses. Outside of WAL mode, readers may stop the
 * commit. Then it keeps the lock while it waits, so no new readers come. Without the lock, others could overtake it again and again.
 */
async function performHolding<T>(db: Database, connection: DirectConnection, work: Work<T>, until: number): Promise<T> {
  if (connection.inTransaction) return perform(db, connection, work)
  const timeout = BusyTimeout.of(connection)
  const result = timeout.without(() =>
    begun(db, connection, BEGIN[work.intent], () => {
      if (work.intent === 'read') connection.exec(TAKE_READ_LOCK)
      return work.run(connection)
    })
  )
  try {
    for (let tries = 1; ; tries++) {
      try {
        timeout.without(() => control(db, connection, 'COMMIT'))
        return result
      } catch (error) {
        if (!isLockError(error) || monotonicNow() >= until) throw error
      }
      await pauseAfter(tries)
    }
  } finally {
    if (connection.inTransaction) takeBack(db, connection, 'ROLLBACK')
    endTransaction(connection)
  }
}

function idleConnection({ client }: Database): DirectConnection | undefined {
  const { pool } = client
  if (pool === undefined || !isPlainPool(client)) return undefined
  const connection = lastOf.get(pool)
  if (connection === undefined || !connection.open || connection.inTransaction || connection.__knex__disposed !== undefined)
    return undefined
  const isAtRest = pool.numUsed?.() === 0 && pool.numPendingAcquires?.() === 0
  return isAtRest ? connection : undefined
}

function runUntilHit(db: Database, connection: DirectConnection, steps: readonly Step[]): Outcome {
  let outcome: Outcome = NOTHING
  for (const step of steps) {
    outcome = runStep(db, connection, step)
    if (outcome.rows.length > 0) break
  }
  return outcome
}

function runStep(db: Database, connection: DirectConnection, { sql, bindings }: Step): Outcome {
  if (db.isListenedTo) return { rows: runHeard(db, connection, sql, bindings) }
  const statement = prepared(connection, sql)
  if (statement.reader) return { rows: statement.all(...bindings) }
  statement.run(...bindings)
  return NOTHING
}

function inTransaction<T>(db: Database, connection: DirectConnection, begin: string, work: (connection: DirectConnection) => T): T {
  const result = begun(db, connection, begin, () => {
    const done = work(connection)
    control(db, connection, 'COMMIT')
    return done
  })
  endTransaction(connection)
  return result
}

/** Begins a transaction and does the work in it. If the work fails, the transaction is rolled back. */
function begun<T>(db: Database, connection: DirectConnection, begin: string, work: () => T): T {
  // Noted as Knex notes it, so that Knex's events name the transaction.
  if (db.isListenedTo) connection.__knexTxId = uniqueId(db.client)
  try {
    control(db, connection, begin)
    return work()
  } catch (error) {
    if (connection.inTransaction) takeBack(db, connection, 'ROLLBACK')
    endTransaction(connection)
    throw error
  }
}

function endTransaction(connection: DirectConnection): void {
  if (connection.__knexTxId !== undefined) delete connection.__knexTxId
}

/** After a failure inside the caller's transaction, takes back our statements and keeps the caller's. */
function inSavepoint(db: Database, connection: DirectConnection, work: () => void): void {
  control(db, connection, 'SAVEPOINT sessions_schema')
  try {
    work()
  } catch (error) {
    takeBack(db, connection, 'ROLLBACK TO sessions_schema')
    throw error
  } finally {
    takeBack(db, connection, 'RELEASE sessions_schema')
  }
}

function isDirect(db: Database): boolean {
  const { client } = db
  return client.driverName === 'better-sqlite3' && typeof client.acquireConnection === 'function'
}

async function stepThroughKnex(db: Database, rows: readonly (readonly Step[])[]): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  for (const steps of rows) {
    let outcome: Outcome = NOTHING
    for (const step of steps) {
      outcome = await runThroughKnex(db, step)
      if (outcome.rows.length > 0) break
    }
    outcomes.push(outcome)
  }
  return outcomes
}

async function runThroughKnex(db: Database, { sql, bindings }: Step): Promise<Outcome> {
  const answer = (await db.run(sql, bindings)) as Record<string, unknown>[] | undefined
  return Array.isArray(answer) ? { rows: answer.map((row) => Object.values(row)) } : NOTHING
}
