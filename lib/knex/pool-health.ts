import { getOrMake } from '../runtime/get-or-make'
import { monotonicNow } from '../runtime/natives'
import { isTheDatabase } from './is-the-database'
import type { Connection, ConnectionPool, KnexClient } from './knex-client'

/** What an error of a statement says of the connection that the statement was sent on. */
export type ConnectionVerdict =
  /** The server has answered, and goes on answering. */
  | 'sound'
  /** The connection has ended, or will not be answered on any more. */
  | 'lost'
  /** The server at its other end does not take writes, as after a failover. Nothing was executed. */
  | 'read-only'

/** A pool is drained of connections to a read-only server once in this time, in milliseconds, … */
const DRAIN_AGAIN_MS = 1000
/** … and more and more seldom where new connections are read-only too, down to once in this time. */
const DRAIN_AT_LEAST_MS = 10_000
/** What a pool emits for a new connection, its last argument: that of Knex, and what else an application may bring. */
const MADE_EVENTS = ['createSuccess', 'connect', 'connection']

/** When each connection was last seen to be answered on, as `monotonicNow()` has it. */
const lastAnswer = new WeakMap<Connection, { at: number }>()
const ofConfig = new WeakMap<object, PoolHealth>()

/** What is known of the connections of a Knex's pool, and which are not to be used again. Shared with the transactions on them. */
export class PoolHealth {
  /** Connections whose last answer is older are suspect. 0 as long as every statement had an answer. */
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

  /** The connection was answered on just now. */
  answered(connection: Connection): void {
    const last = lastAnswer.get(connection)
    if (last === undefined) lastAnswer.set(connection, { at: monotonicNow() })
    else last.at = monotonicNow()
  }

  /**
   * A statement that was sent at `sentAt` had no answer: perhaps the way to the server has forgotten this connection, and then all that were
   * idle as long. What has not been answered on since then is not used again.
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

  /** Gives a connection of which nothing says that it is not answered on. */
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

  /** From now on new connections of the pool are told from those that were there. */
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
   * Has the pool destroy the connection when it gets it back. False where it must not be. The reason is shown by Knex's log, so it is never
   * an error, in whose text Knex may have put bound values.
   */
  private drop(client: KnexClient, connection: Connection, why: string): boolean {
    if (isTheDatabase(client, connection)) return false
    connection.__knex__disposed ??= `dropped by the session store (${why})`
    return true
  }
}

/** Knex's pool, and what it stands for where the application has brought one of the driver's. */
function poolsOf({ pool, config }: KnexClient): ConnectionPool[] {
  return [pool, config.connectionPool].filter((one) => one !== undefined)
}
