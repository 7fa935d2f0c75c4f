import type { Database } from '../../knex/database'
import type { Connection } from '../../knex/knex-client'
import { isPromiseLike } from '../../soon'
import { type Answer, type Binding, type PgConnection, PreparedQuery, type Statement } from './prepared-query'

/**
 * Runs a prepared statement on the driver itself, as pg-cursor does, at half the cost of Knex's own way: the server does not describe
 * columns that we know, and nothing is copied or converted. If the driver is not as it is known here, or if somebody listens to Knex's events,
 * Knex runs the statement.
 */
export function runPrepared(db: Database, statement: Statement, bindings: readonly Binding[]): Promise<Answer> {
  return db.use((connection) => {
    if (speaksDirectly(connection) && !db.isListenedTo) return send(statement, bindings, connection)
    const { sql, name } = statement
    const driver = { rowMode: 'array', ...(name === undefined ? {} : { name }) }
    return db.runOn(connection, sql, bindings, { driver }) as Promise<Answer>
  })
}

/** Calls the driver as Knex calls it, so that what wraps `connection.query` for Knex can wrap it here. */
function send(statement: Statement, bindings: readonly Binding[], connection: PgConnection): Promise<Answer> {
  return new Promise<Answer>((resolve, reject) => {
    const query = new PreparedQuery(statement, bindings)
    const returned = connection.query(query, (error, answer) => (answer === undefined ? reject(error) : resolve(answer)))
    // A wrapper that is asynchronous may fail before it has called the driver.
    if (isPromiseLike(returned)) returned.then(undefined, reject)
  })
}

function speaksDirectly(connection: Connection): connection is PgConnection {
  const { connection: wire, pipeline } = connection as Partial<PgConnection>
  return wire?.parsedStatements !== undefined && wire.stream !== undefined && typeof wire.bind === 'function' && pipeline !== true
}
