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
  query(connection: unknown, statement: object): Promise<{ response: unknown }>
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

/** A statement as Knex's events have it. */
export interface AnnouncedStatement {
  readonly sql: string
  readonly bindings: readonly unknown[]
  readonly options?: object
}

/**
 * Keeps the application's query log whole where a statement is not sent by Knex, which would have emitted this; but that it puts the bound
 * values into the message of the error.
 */
export function announce(
  client: KnexClient,
  event: 'query' | 'query-error',
  { __knexUid, __knexTxId }: Connection,
  statement: AnnouncedStatement,
  ...error: unknown[]
): void {
  client.emit(event, ...error, { __knexUid, __knexTxId, method: 'raw', ...statement })
}
