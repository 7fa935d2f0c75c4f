import type { Knex } from 'knex'

/**
 * The parts of Knex's client that its types leave out: its pool, what a builder asks of its client when it is awaited, and what a
 * transaction does on its connection. They have kept their shape from Knex 2.4 to 3.3. spec/unit-of-work/knex-seams.spec.ts pins what each
 * of them does, on the oldest and the newest of these versions.
 */
export interface KnexClient {
  readonly config: Knex.Config & { readonly connectionPool?: ConnectionPool & SizedPool }
  readonly driverName: string
  readonly connectionSettings?: object
  readonly pool?: ConnectionPool
  /** The database itself, if it is an object of this process. */
  readonly pglite?: object
  transacting?: boolean
  raw(sql: string): Knex.Raw
  query(connection: Connection, statement: KnexStatement | string): Promise<unknown>
  stream(connection: Connection, statement: KnexStatement, stream: RowStream, options: unknown): Promise<unknown>
  runner(builder: object): KnexRunner
  transaction(container: KnexContainer, config?: object, outer?: unknown): KnexTransaction
  emit(event: string, ...values: unknown[]): boolean
  acquireConnection(): Promise<Connection>
  releaseConnection(connection: Connection): Promise<void>
  /** Makes a connection outside of the pool. */
  acquireRawConnection(): Promise<Connection>
  /** Closes a connection as the pool would. */
  destroyRawConnection(connection: Connection): Promise<unknown>
}

/** What Knex's pool tells about itself. A pool that the application brought may tell less. */
export interface ConnectionPool {
  /** The most connections it has. */
  readonly max?: number
  readonly destroyed?: boolean
  /** How many connections are being made. */
  numPendingCreates?(): number
  numUsed?(): number
  numFree?(): number
  numPendingAcquires?(): number
  on?(event: string, listener: (...values: unknown[]) => void): unknown
}

/** Where the kinds of pool that an application may bring have their size. */
interface SizedPool {
  readonly max?: number
  readonly options?: { readonly max?: number }
  readonly config?: { readonly connectionLimit?: number }
}

/** A connection of the driver, with what Knex notes on it. */
export interface Connection {
  readonly __knexUid?: string
  __knexTxId?: string
  /** True if the application has switched on pipelining. Then the driver sends statements before the earlier ones have a response. */
  readonly pipeline?: boolean
  on?(event: 'error', listener: () => void): unknown
  /** Why the connection must not be used any more. If it is set, the pool destroys the connection. */
  __knex__disposed?: unknown
}

/**
 * False if getting a connection is more than taking one from the pool: in a transaction, in a unit of work, or if the application has
 * replaced Knex's function. Then every statement has to call `acquireConnection`.
 */
export function isPlainPool(client: KnexClient): boolean {
  return client.transacting !== true && client.pool !== undefined && !Object.hasOwn(client, 'acquireConnection')
}

/** A compiled statement. Knex sends BEGIN, COMMIT and the like as plain strings instead. */
export interface KnexStatement {
  readonly sql: string
  readonly bindings?: readonly unknown[]
  /** Passed through to the driver. */
  readonly options?: object
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

/** What `client.transaction()` returns: a promise for the outcome, with methods that begin and end the transaction. */
export interface KnexTransaction extends Promise<unknown> {
  readonly txid: string
  /** The client that runs on its connection, once there is one. */
  readonly trxClient: KnexClient
  begin(connection: Connection): Promise<unknown>
  savepoint(connection: Connection): Promise<unknown>
  commit(connection: Connection, value?: unknown): Promise<unknown>
  release(connection: Connection, value?: unknown): Promise<unknown>
  rollback(connection: Connection, error?: unknown): Promise<unknown>
  rollbackTo(connection: Connection, error?: unknown): Promise<unknown>
  /** Sends a statement. With status 1, it ends the transaction as a success. With status 2, it ends it with `value` as the error. */
  query(connection: Connection, sql: string, status?: 1 | 2, value?: unknown): Promise<unknown>
}

export function clientOf(knex: Knex): KnexClient {
  return knex.client as KnexClient
}
