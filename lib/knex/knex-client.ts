import type { Knex } from 'knex'

/** The parts of Knex's client that Knex does not type but keeps stable; see https://knexjs.org and knex/lib/client.js. */
export interface KnexClient {
  readonly transacting?: boolean
  readonly driverName: string
  readonly config: Knex.Config & { readonly connectionPool?: ConnectionPool & SizedPool }
  readonly connectionSettings?: object
  readonly pool?: ConnectionPool
  /** The database itself, where it is an object of this process. */
  readonly pglite?: object
  raw(sql: string): Knex.Raw
  /** Knex sends BEGIN, COMMIT and the like as plain strings. */
  query(connection: Connection, statement: object | string): Promise<{ response: unknown }>
  runner(builder: object): object
  transaction<T>(work: (trx: Knex.Transaction) => Promise<T>, config?: object): Promise<T>
  emit(event: string, ...values: unknown[]): boolean
  acquireConnection(): Promise<unknown>
  releaseConnection(connection: unknown): Promise<void>
  /** A connection that is none of the pool's. */
  acquireRawConnection(): Promise<unknown>
  destroyRawConnection(connection: unknown): Promise<void>
}

/** What Knex's pool tells of itself. A pool that the application brought may tell less. */
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

/** What the kinds of pool that an application may bring tell of their size. */
interface SizedPool {
  readonly max?: number
  readonly options?: { readonly max?: number }
  readonly config?: { readonly connectionLimit?: number }
}

/** A driver's connection, with what Knex notes on it. */
export interface Connection {
  readonly __knexUid?: string
  __knexTxId?: string
  /** True where the application has switched on that the driver sends statements before the last ones are answered. */
  readonly pipeline?: boolean
  on?(event: 'error', listener: () => void): unknown
  /** Why it must not be used any more: the pool then destroys it. */
  __knex__disposed?: unknown
}

/**
 * False where getting a connection means more than taking one from the pool: in a transaction or a unit of work, and where the application
 * has put a function of its own in the place of Knex's. Then every statement has to ask.
 */
export function isPlainPool(client: KnexClient): boolean {
  return client.transacting !== true && client.pool !== undefined && !Object.hasOwn(client, 'acquireConnection')
}
