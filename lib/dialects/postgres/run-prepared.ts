import type { Database } from '../database'
import { type AnnouncedStatement, announce, type Connection, isPlainPool, type KnexClient } from '../knex-client'
import { type Answer, type Answered, type Binding, type PgConnection, PreparedQuery, type Statement } from './prepared-query'

/** A statement under way for longer, in milliseconds, waits for something, and would hold up what is sent behind it. */
const MAX_AGE_MS = 5
/** For longer, in milliseconds, no connection is kept from the pool, which may want to look at it or give it to others. */
const MAX_LINE_MS = 1000

/**
 * Runs a prepared statement on the driver itself, as pg-cursor does, which a query object of its own costs half of: nothing is described,
 * since we know the columns, and nothing is copied or converted on the way. Where the driver is not as it is known here, Knex does it.
 *
 * A pipelined statement goes behind its last run while that is not answered. The server's process then has work without being woken up, and
 * leaves this one its processor. A price: who goes behind one that waits for a locked row waits with it.
 */
export function runPrepared(db: Database, statement: Statement, bindings: readonly Binding[]): Promise<Answer> {
  const { last: front, trial } = statement.pipeline ?? {}
  if (front !== undefined && trial?.isOpen !== false && mayFollow(db, front)) {
    const { connection } = front
    const answer = send(db, statement, bindings, connection, front)
    return db.useToo(connection, answer)
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
    const pipeline = isPlainPool(client) ? statement.pipeline : undefined
    const answered = whenAnswered(client, connection, announced, resolve, reject)
    const query = new PreparedQuery(statement, pipeline, connection, bindings, answered)
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

/** Not where the driver itself would give up one that was sent already, and none of what the pool wants back. */
function mayFollow({ client }: Database, front: PreparedQuery): boolean {
  const { __knex__disposed, connectionParameters } = front.connection
  return (
    front.mayBeFollowed &&
    front.isPrepared &&
    front.age < MAX_AGE_MS &&
    front.ageOfLine < MAX_LINE_MS &&
    __knex__disposed === undefined &&
    !connectionParameters?.query_timeout &&
    isPlainPool(client) &&
    client.pool?.numPendingAcquires?.() === 0
  )
}
