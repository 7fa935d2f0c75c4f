import type { Database } from '../../knex/database'
import type { Connection } from '../../knex/knex-client'
import { isPromiseLike } from '../../runtime/maybe-promise'
import { PreparedNames } from './prepared-names'
import { type Answer, type Binding, type PgConnection, PreparedQuery, type Statement } from './prepared-query'

/** Leaves values as the server sends them, whatever types the application has set in its driver. */
export const AS_TEXT = { getTypeParser: () => (value: string) => value }

/**
 * Runs a prepared statement. If the server has forgotten it, prepares it again and runs it once more.
 *
 * In a transaction no statement is prepared by name: a statement that fails there makes the server refuse all others.
 *
 * @param mayShare true for a statement that waits for no lock: see `Database.use`
 */
export function runPrepared(db: Database, statement: Statement, bindings: readonly Binding[], mayShare = false): Promise<Answer> {
  const { sql } = statement
  return db.use((connection) => {
    const names = PreparedNames.of(connection as PgConnection)
    const name = db.isTransaction ? undefined : names.nameOf(statement)
    const answer = run(db, { sql, name }, bindings, connection)
    if (name === undefined) return answer
    return answer.catch(async (error) => {
      if (!(await names.renew(name, statement, error))) throw error
      return run(db, { sql, name: names.nameOf(statement) }, bindings, connection)
    })
  }, mayShare)
}

/**
 * Runs the statement directly on the driver, as pg-cursor does, at half the cost of Knex's way. The server does not describe columns that
 * we know, and nothing is copied or converted. If the kind of the driver is unknown, or if something listens to Knex's events, Knex runs
 * the statement.
 */
function run(db: Database, statement: Statement, bindings: readonly Binding[], connection: Connection): Promise<Answer> {
  const isDirect = speaksDirectly(connection) && !db.isListenedTo
  return isDirect ? send(statement, bindings, connection) : sendByKnex(db, statement, bindings, connection)
}

/** Knex reaches PGlite by a driver of the same name. PGlite calls the number of rows affectedRows. */
async function sendByKnex(db: Database, { sql, name }: Statement, bindings: readonly Binding[], connection: Connection): Promise<Answer> {
  const driver = { rowMode: 'array', types: AS_TEXT, ...(name === undefined ? {} : { name }) }
  const { rows, rowCount, affectedRows = 0 } = (await db.runOn(connection, sql, bindings, { driver })) as DriverResult
  return { rows, rowCount: rowCount ?? affectedRows }
}

interface DriverResult {
  readonly rows: Answer['rows']
  readonly rowCount?: number | null
  readonly affectedRows?: number
}

/** Calls the driver as Knex calls it. So a tool that wraps `connection.query` for Knex also wraps it here. */
function send(statement: Statement, bindings: readonly Binding[], connection: PgConnection): Promise<Answer> {
  return new Promise<Answer>((resolve, reject) => {
    const query = new PreparedQuery(statement, bindings)
    const returned = connection.query(query, (error, answer) => (answer === undefined ? reject(error) : resolve(answer)))
    // An asynchronous wrapper may fail before it has called the driver.
    if (isPromiseLike(returned)) returned.then(undefined, reject)
  })
}

/**
 * False if the application has switched on pipelining in the driver, because then the driver takes only its own queries. False before
 * version 8.2, because these versions write all messages into one buffer and may overwrite messages that are not sent yet.
 */
function speaksDirectly(connection: Connection): connection is PgConnection {
  const { connection: wire, pipeline } = connection as Partial<PgConnection>
  if (wire?.parsedStatements === undefined || wire.stream === undefined || typeof wire.bind !== 'function') return false
  return pipeline !== true && !('writer' in wire)
}
