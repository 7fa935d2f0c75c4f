import type { Knex } from 'knex'

/**
 * The parts of Knex's client that its types leave out: what a builder asks of its client when it is awaited, and what a transaction
 * does on its connection. They have kept their shape from Knex 2.4 to 3.3; spec/unit-of-work/knex-seams.spec.ts
 * pins what each does, and runs on the oldest and the newest of these.
 */
export interface KnexClient {
  readonly config: Knex.Config
  readonly driverName: string
  readonly pool?: { numUsed(): number; readonly max?: number }
  transacting?: boolean
  query(connection: KnexConnection, statement: KnexStatement | string): Promise<unknown>
  stream(connection: KnexConnection, statement: KnexStatement, stream: RowStream, options: unknown): Promise<unknown>
  runner(builder: object): KnexRunner
  transaction(container: KnexContainer, config?: object, outer?: unknown): KnexTransaction
  acquireConnection(): Promise<KnexConnection>
  releaseConnection(connection: KnexConnection): Promise<void>
  /** Closes it as the pool would. */
  destroyRawConnection(connection: KnexConnection): Promise<unknown>
}

/** What the driver calls a connection. */
export type KnexConnection = object

/** A compiled statement. Knex sends BEGIN, COMMIT and the like as plain strings instead. */
export interface KnexStatement {
  readonly sql: string
  readonly bindings?: readonly unknown[]
  /** `select`, `first`, `insert`, `raw` … */
  readonly method?: string
}

/** Runs one builder on one connection. */
export interface KnexRunner {
  run(): Promise<unknown>
  stream(...args: unknown[]): RowStream | Promise<unknown>
  pipe(writable: NodeJS.WritableStream, options?: unknown): NodeJS.WritableStream
}

/** A stream of rows. */
export type RowStream = import('node:stream').Transform

/** The function that is given the transaction. */
export type KnexContainer = (trx: Knex.Transaction) => unknown

/** What `client.transaction()` returns: a promise for the outcome that also knows how to begin and end. */
export interface KnexTransaction extends Promise<unknown> {
  readonly txid: string
  /** The client that runs on its connection, once there is one. */
  readonly trxClient: KnexClient
  begin(connection: KnexConnection): Promise<unknown>
  savepoint(connection: KnexConnection): Promise<unknown>
  commit(connection: KnexConnection, value?: unknown): Promise<unknown>
  release(connection: KnexConnection, value?: unknown): Promise<unknown>
  rollback(connection: KnexConnection, error?: unknown): Promise<unknown>
  rollbackTo(connection: KnexConnection, error?: unknown): Promise<unknown>
  /** Status 1: the statement ends the transaction well. 2: it ends it with `value` as the error. */
  query(connection: KnexConnection, sql: string, status?: 1 | 2, value?: unknown): Promise<unknown>
}

export function clientOf(knex: Knex): KnexClient {
  return knex.client as KnexClient
}
