import type { Database } from '../../knex/database'
import { type ConnectionPool, isPlainPool } from '../../knex/knex-client'
import { uniqueId } from '../../knex/statement-events'
import type { Soon } from '../../soon'
import type { DirectConnection, DirectStatement } from './direct-connection'
import { control, runHeard, takeBack } from './heard-statements'

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
 * On better-sqlite3, where Knex's own path costs more than the query, this takes the connection from Knex's pool and runs statements
 * prepared once, synchronously, and gives it back at once. Elsewhere each goes through the driver's own queue.
 */
export function writeEach(db: Database, sql: string, sets: readonly (readonly unknown[])[]): Soon<Outcome[]> {
  return writeFirstThatHits(
    db,
    sets.map((bindings) => [{ sql, bindings }])
  )
}

/** For each row, runs its steps until one returns something; that is the row's outcome, or that of the last step. */
export function writeFirstThatHits(db: Database, rows: readonly (readonly Step[])[]): Soon<Outcome[]> {
  if (!isDirect(db)) {
    const alone = rows.length === 1 || db.isTransaction
    return alone ? stepThroughKnex(db, rows) : db.transaction((trx) => stepThroughKnex(trx, rows))
  }
  return onConnection(db, (connection) => {
    const work = () => rows.map((steps) => stepPrepared(db, connection, steps))
    // A step that hit nothing has changed nothing, so for one row no transaction is needed; nor inside the caller's.
    return rows.length === 1 || connection.inTransaction ? work() : inTransaction(db, connection, work)
  })
}

/** Runs a reading statement. */
export function read(db: Database, step: Step): Soon<unknown[][]> {
  if (!isDirect(db)) return runThroughKnex(db, step).then(({ rows }) => rows)
  return onConnection(db, (connection) => runPrepared(db, connection, step).rows)
}

/**
 * The row that a reading statement finds by each key. Many are read in one transaction, because each of its own would lock the file, look
 * whether it has changed, and unlock it, which costs two fifths of the reading.
 */
export function readByKey(db: Database, sql: string, keys: readonly unknown[]): Soon<(unknown[] | undefined)[]> {
  if (!isDirect(db)) return readThroughKnex(db, sql, keys)
  return onConnection(db, (connection) => {
    const isHeard = db.isListenedTo
    const work = () => keys.map((key) => (isHeard ? runHeard(db, connection, sql, [key])[0] : prepared(connection, sql).get(key)))
    return keys.length === 1 || connection.inTransaction ? work() : inTransaction(db, connection, work, 'BEGIN')
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
  await onConnection(db, (connection) => {
    const work = () => {
      if (db.isListenedTo) for (const sql of statements) runHeard(db, connection, sql, [])
      else connection.exec(statements.join(';\n'))
    }
    if (connection.inTransaction) inSavepoint(db, connection, work)
    else inTransaction(db, connection, work)
  })
}

/** The connection that each pool gave last. */
const lastOf = new WeakMap<ConnectionPool, DirectConnection>()

/**
 * Does the work on the connection of Knex's pool: at once where it lies idle there, because the work is over before anybody else could take
 * it, and waiting for the pool would cost several times what a statement does.
 */
function onConnection<T>(db: Database, work: (connection: DirectConnection) => T): Soon<T> {
  const { client } = db
  const idle = idleConnection(db)
  if (idle !== undefined) return work(idle)
  return (client.acquireConnection() as Promise<DirectConnection>).then((connection) => {
    if (client.pool !== undefined) lastOf.set(client.pool, connection)
    try {
      return work(connection)
    } finally {
      client.releaseConnection(connection)
    }
  })
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

function stepPrepared(db: Database, connection: DirectConnection, steps: readonly Step[]): Outcome {
  let outcome: Outcome = NOTHING
  for (const step of steps) {
    outcome = runPrepared(db, connection, step)
    if (outcome.rows.length > 0) break
  }
  return outcome
}

function runPrepared(db: Database, connection: DirectConnection, { sql, bindings }: Step): Outcome {
  if (db.isListenedTo) return { rows: runHeard(db, connection, sql, bindings) }
  const statement = prepared(connection, sql)
  if (statement.reader) return { rows: statement.all(...bindings) }
  statement.run(...bindings)
  return NOTHING
}

/** IMMEDIATE: two processes that both read first and then write would refuse each other at once, instead of waiting their turn. */
function inTransaction<T>(
  db: Database,
  connection: DirectConnection,
  work: () => T,
  begin: 'BEGIN' | 'BEGIN IMMEDIATE' = 'BEGIN IMMEDIATE'
): T {
  // As Knex notes it, so that its events name the transaction.
  if (db.isListenedTo) connection.__knexTxId = uniqueId(db.client)
  try {
    control(db, connection, begin)
    const result = work()
    control(db, connection, 'COMMIT')
    return result
  } catch (error) {
    if (connection.inTransaction) takeBack(db, connection, 'ROLLBACK')
    throw error
  } finally {
    if (connection.__knexTxId !== undefined) delete connection.__knexTxId
  }
}

/** A failure inside the caller's transaction takes back our statements and leaves his. */
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

const statementsOf = new WeakMap<DirectConnection, Map<string, DirectStatement>>()

function prepared(connection: DirectConnection, sql: string): DirectStatement {
  let statements = statementsOf.get(connection)
  if (statements === undefined) {
    statements = new Map()
    statementsOf.set(connection, statements)
  }
  let statement = statements.get(sql)
  if (statement === undefined) {
    statement = connection.prepare(sql).safeIntegers(false)
    if (statement.reader) statement.raw(true)
    statements.set(sql, statement)
  }
  return statement
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
