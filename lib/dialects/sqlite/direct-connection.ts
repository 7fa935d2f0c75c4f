import type { Connection } from '../../knex/knex-client'

/** What better-sqlite3 offers, as far as it is used here. */
export interface DirectConnection extends Connection {
  readonly inTransaction: boolean
  readonly open: boolean
  prepare(sql: string): DirectStatement
  exec(sql: string): void
}

/** A statement that the driver has prepared. */
export interface DirectStatement {
  raw(on: true): DirectStatement
  columns(): { readonly name: string }[]
  all(...bindings: unknown[]): unknown[][]
  get(...bindings: unknown[]): unknown[] | undefined
  run(...bindings: unknown[]): unknown
  safeIntegers(on: boolean): DirectStatement
  readonly reader: boolean
}
