import type { Database } from '../../knex/database'
import { StatementEvents, tellOfControl } from '../../knex/statement-events'
import type { DirectConnection } from './direct-connection'

/**
 * Runs a statement in the form that Knex gives it, for listeners of Knex's events. Its rows have the same form as those of other statements
 * here.
 */
export function runHeard(db: Database, connection: DirectConnection, sql: string, bindings: readonly unknown[]): unknown[][] {
  const events = new StatementEvents(db.client, connection, { sql, bindings })
  let columns: string[] | undefined
  let response: unknown
  try {
    const statement = connection.prepare(sql)
    columns = statement.reader ? statement.columns().map(({ name }) => name) : undefined
    response = statement.reader ? statement.all(...bindings) : statement.run(...bindings)
  } catch (error) {
    events.failed(error as Error)
    throw error
  }
  if (columns === undefined) {
    const { lastInsertRowid: lastID, changes } = response as { lastInsertRowid: unknown; changes: unknown }
    events.succeeded(response, { context: { lastID, changes } })
    return []
  }
  // Read before a listener can change them.
  const rows = (response as Record<string, unknown>[]).map((row) => columns.map((name) => asNumber(row[name])))
  events.succeeded(response)
  return rows
}

/** The application may have set its driver to return every integer as a BigInt. */
function asNumber(value: unknown): unknown {
  return typeof value === 'bigint' ? Number(value) : value
}

/** Runs a statement that begins, ends or divides a transaction. */
export function control(db: Database, connection: DirectConnection, sql: string): void {
  if (db.isListenedTo) tellOfControl(db.client, connection, `${sql};`, () => connection.exec(sql))
  else connection.exec(sql)
}

/** Runs a statement that must run even if a listener throws an error. */
export function takeBack(db: Database, connection: DirectConnection, sql: string): void {
  let hasRun = false
  const work = () => {
    hasRun = true
    connection.exec(sql)
  }
  try {
    if (db.isListenedTo) tellOfControl(db.client, connection, `${sql};`, work)
    else work()
  } catch (error) {
    if (hasRun) throw error
    work()
  }
}
