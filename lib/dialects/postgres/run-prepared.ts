import type { Database } from '../../knex/database'
import { announce, type Connection } from '../../knex/knex-client'
import { type Answer, type Binding, type PgConnection, PreparedQuery, type Statement } from './prepared-query'

/**
 * Runs a prepared statement on the driver itself, as pg-cursor does, at half the cost of Knex's own way: the server does not describe
 * columns that we know, and nothing is copied or converted. If the driver is not as it is known here, Knex runs the statement.
 */
export function runPrepared(db: Database, statement: Statement, bindings: readonly Binding[]): Promise<Answer> {
  return db.use((connection) => {
    return speaksDirectly(connection) ? send(db, statement, bindings, connection) : sendByKnex(db, statement, bindings, connection)
  })
}

/** PGlite, which Knex reaches by a driver of the same name, calls the count of rows affectedRows. */
async function sendByKnex(db: Database, { sql, name }: Statement, bindings: readonly Binding[], connection: Connection): Promise<Answer> {
  const driver = { rowMode: 'array', ...(name === undefined ? {} : { name }) }
  const { rows, rowCount, affectedRows = 0 } = (await db.runOn(connection, sql, bindings, { driver })) as DriverResult
  return { rows, rowCount: rowCount ?? affectedRows }
}

interface DriverResult {
  readonly rows: Answer['rows']
  readonly rowCount?: number | null
  readonly affectedRows?: number
}

function send({ client }: Database, statement: Statement, bindings: readonly Binding[], connection: PgConnection): Promise<Answer> {
  const announced = { sql: statement.sql, bindings, options: { name: statement.name } }
  announce(client, 'query', connection, announced)
  return new Promise<Answer>((resolve, reject) => {
    const query = new PreparedQuery(statement, bindings, (error, answer) => {
      if (answer !== undefined) return resolve(answer)
      announce(client, 'query-error', connection, announced, error)
      reject(error)
    })
    connection.query(query)
  })
}

function speaksDirectly(connection: Connection): connection is PgConnection {
  const { connection: wire, pipeline } = connection as Partial<PgConnection>
  return wire?.parsedStatements !== undefined && wire.stream !== undefined && typeof wire.bind === 'function' && pipeline !== true
}
