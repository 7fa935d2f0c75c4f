import { getOrMake } from '../runtime/get-or-make'
import { monotonicNow } from '../runtime/natives'
import { isTheDatabase } from './is-the-database'
import type { Connection, ConnectionPool, KnexClient } from './knex-client'

/** What an error of a statement says of its connection. */
export type ConnectionVerdict =
  /** The server has responded, and goes on responding. */
  | 'sound'
  /** The connection has ended, or the server will not respond on it any more. */
  | 'lost'
  /** The server at its other end does not take writes, as after a failover. Nothing was executed. */
  | 'read-only'

/** A pool is drained of connections to a read-only server once in this time, in milliseconds, … */
const DRAIN_AGAIN_MS = 1000
/** … and more and more seldom where new connections are read-only too, down to once in this time. */
const DRAIN_AT_LEAST_MS = 10_000
/**
 * The events of a pool for a new connection, which is their last argument: the event of Knex's pool, and those of pools that an application
 * may bring.
 */
const MADE_EVENTS = ['createSuccess', 'connect', 'connection']

/** When the server last responded on each connection, by `monotonicNow()`. */
const lastAnswer = new WeakMap<Connection, { at: number }>()
const ofConfig = new WeakMap<object, PoolHealth>()

/** What is known of the connections of a Knex's pool, and which of them must not be used again. Shared with the transactions on them. */
export class PoolHealth {
  /** Connections whose last response is older are suspect. 0 as long as every statement had a response. */
  private suspectBefore = 0
  private readonly watched = new WeakSet<ConnectionPool>()
  private drainedAt = Number.NEGATIVE_INFINITY
  private drainAgainMs = DRAIN_AGAIN_MS
  private leftToDrain = 0
  /** A transaction does not know it. */
  private pool: ConnectionPool | undefined
  /** Errors after which the statement is worth another try. */
  private readonly renewed = new WeakSet<object>()

  /** By the configuration, which a transaction has of the Knex that it came from. */
  static of(client: KnexClient): PoolHealth {
    const health = getOrMake(ofConfig, client.config ?? client, () => new PoolHealth())
    health.pool = client.pool ?? health.pool
    return health
  }

  get hasSuspects(): boolean {
    return this.suspectBefore > 0
  }

  /** The server has just responded on the connection. */
  answered(connection: Connection): void {
    const last = lastAnswer.get(connection)
    if (last === undefined) lastAnswer.set(connection, { at: monotonicNow() })
    else last.at = monotonicNow()
  }

  /**
   * A statement that was sent at `sentAt` had no response. Perhaps a firewall has forgotten this connection, and then also all connections
   * that were idle as long. Connections without a response since then are not used again.
   */
  unanswered(client: KnexClient, connection: Connection, sentAt: number): void {
    this.drop(client, connection, 'a statement had no answer in time')
    this.suspectBefore = Math.max(this.suspectBefore, sentAt)
    this.watch(client)
  }

  /** After a statement failed. The connection is dropped where it is of no use any more. */
  failed(client: KnexClient, connection: Connection, verdict: ConnectionVerdict, error: unknown): void {
    if (verdict === 'sound') return
    if (verdict === 'read-only' && !this.mayDrain(client.pool ?? this.pool)) return
    if (this.drop(client, connection, verdict) && verdict === 'read-only') this.renewed.add(error as object)
  }

  /** True where the statement that failed with this error was not executed, and may go over another connection now. */
  isWorthAnother(error: unknown): boolean {
    return typeof error === 'object' && error !== null && this.renewed.delete(error)
  }

  /** Returns a connection that is not suspect. */
  async soundConnection(client: KnexClient): Promise<Connection> {
    for (;;) {
      const connection = (await client.acquireConnection()) as Connection
      if (!this.isSuspect(client, connection) || !this.drop(client, connection, 'it was idle while another one had no answer'))
        return connection
      if (client.pool !== undefined) client.releaseConnection(connection)
    }
  }

  private isSuspect(client: KnexClient, connection: Connection): boolean {
    const last = lastAnswer.get(connection)
    // One that was never seen is old, where the pool has told of each new one.
    return last === undefined ? poolsOf(client).some((pool) => this.watched.has(pool)) : last.at < this.suspectBefore
  }

  /** From now on, new connections of the pool are told from those that were there. */
  private watch(client: KnexClient): void {
    for (const pool of poolsOf(client)) {
      if (pool.on === undefined || this.watched.has(pool)) continue
      this.watched.add(pool)
      for (const event of MADE_EVENTS) pool.on(event, (...made) => this.answered(made.at(-1) as Connection))
    }
  }

  /**
   * True if one more connection may be dropped because its server is read-only. As many as there are now: after a failover all of them
   * lead to the old server. But where the new ones are read-only too, the next round comes later and later.
   */
  private mayDrain(pool: ConnectionPool | undefined): boolean {
    const now = monotonicNow()
    if (now - this.drainedAt >= this.drainAgainMs) {
      const isOver = now - this.drainedAt >= 2 * DRAIN_AT_LEAST_MS
      this.drainAgainMs = isOver ? DRAIN_AGAIN_MS : Math.min(2 * this.drainAgainMs, DRAIN_AT_LEAST_MS)
      this.drainedAt = now
      this.leftToDrain = Math.max(1, (pool?.numUsed?.() ?? 0) + (pool?.numFree?.() ?? 0))
    }
    return this.leftToDrain-- > 0
  }

  /**
   * Has the pool destroy the connection when it comes back. Returns false if it must not be destroyed. Knex logs the reason, so it is never
   * an error: Knex may have put bound values into its text.
   */
  private drop(client: KnexClient, connection: Connection, why: string): boolean {
    if (isTheDatabase(client, connection)) return false
    connection.__knex__disposed ??= `dropped by the session store (${why})`
    return true
  }
}

/** Knex's pool, and the pool of the driver that the application may have brought. */
function poolsOf({ pool, config }: KnexClient): ConnectionPool[] {
  return [pool, config.connectionPool].filter((one) => one !== undefined)
}
