import type { Connection } from '../../knex/knex-client'
import { getOrMake } from '../../runtime/get-or-make'

/** The parts of better-sqlite3 that are used here. */
export interface DirectConnection extends Connection {
  readonly inTransaction: boolean
  readonly open: boolean
  prepare(sql: string): DirectStatement
  exec(sql: string): void
}

export interface DirectStatement {
  raw(on: true): DirectStatement
  /** Makes the statement return only its first column. */
  pluck(on: true): DirectStatement
  columns(): { readonly name: string }[]
  all(...bindings: unknown[]): unknown[][]
  get(...bindings: unknown[]): unknown[] | undefined
  run(...bindings: unknown[]): unknown
  safeIntegers(on: boolean): DirectStatement
  readonly reader: boolean
}

const statementsOf = new WeakMap<DirectConnection, Map<string, DirectStatement>>()

/** Returns the statement. It is prepared once for each connection. */
export function prepared(connection: DirectConnection, sql: string): DirectStatement {
  const statements = getOrMake(statementsOf, connection, () => new Map<string, DirectStatement>())
  let statement = statements.get(sql)
  if (statement === undefined) {
    statement = connection.prepare(sql).safeIntegers(false)
    if (statement.reader) statement.raw(true)
    statements.set(sql, statement)
  }
  return statement
}
