import type { Database } from '../database'
import { type AnnouncedStatement, announce, type Connection, isPlainPool, type KnexClient } from '../knex-client'
import { type Answer, type Answered, type Binding, type PgConnection, PreparedQuery, type Statement } from './prepared-query'

/** A statement under way for longer than this, in milliseconds, waits for a lock or the disk, and would hold up what is sent behind it. */
const SLOW_MS = 5

/**
 * Runs a prepared statement on the driver itself, as pg-cursor does, which a query object of its own costs half of: nothing is described,
 * since we know the columns, and nothing is copied or converted on the way. Where the driver is not as it is known here, Knex does it.
 *
 * A pipelined statement goes behind its last run while that is not answered. The server's process then has work without being woken up, and
 * leaves this one its processor.
 */
export function runPrepared(db: Database, statement: Statement, bindings: readonly Binding[]): Promise<Answer> {
  const front = statement.pipeline?.last
  if (front !== undefined && mayFollow(db, front)) {
    return db.useToo(front.connection, () => send(db, statement, bindings, front.connection, front))
  }
  return db.use((connection) => {
    if (speaksDirectly(connection)) return send(db, statement, bindings, connection)
    const { sql, name } = statement
    const driver = { rowMode: 'array', ...(name === undefined ? {} : { name }) }
    return db.runOn(connection, sql, bindings, { driver }) as Promise<Answer>
  })
}

function send(
  { client }: Database,
  statement: Statement,
  bindings: readonly Binding[],
  connection: PgConnection,
  front?: PreparedQuery
): Promise<Answer> {
  const announced = { sql: statement.sql, bindings, options: { name: statement.name } }
  announce(client, 'query', connection, announced)
  return new Promise<Answer>((resolve, reject) => {
    const query = new PreparedQuery(statement, connection, bindings, whenAnswered(client, connection, announced, resolve, reject))
    if (front === undefined) query.start()
    else query.follow(front)
  })
}

/** Not made where it would hold on to the query in front, and that one to the one before it, and so on. */
function whenAnswered(
  client: KnexClient,
  connection: PgConnection,
  announced: AnnouncedStatement,
  resolve: (answer: Answer) => void,
  reject: (error: unknown) => void
): Answered {
  return (error, answer) => {
    if (answer !== undefined) return resolve(answer)
    announce(client, 'query-error', connection, announced, error)
    reject(error)
  }
}

function speaksDirectly(connection: Connection): connection is PgConnection {
  const { connection: wire, pipeline } = connection as Partial<PgConnection>
  return wire?.parsedStatements !== undefined && wire.stream !== undefined && typeof wire.bind === 'function' && pipeline !== true
}

/** Not where somebody waits for the connection, nor where the driver itself would give up one that was sent already. */
function mayFollow({ client }: Database, front: PreparedQuery): boolean {
  const { __knex__disposed, connectionParameters } = front.connection
  return (
    front.isLast &&
    front.isPrepared &&
    front.age < SLOW_MS &&
    __knex__disposed === undefined &&
    !connectionParameters?.query_timeout &&
    isPlainPool(client) &&
    client.pool?.numPendingAcquires?.() === 0
  )
}
