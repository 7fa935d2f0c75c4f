import { getOrMake } from '../runtime/get-or-make'
import { monotonicNow } from '../runtime/natives'
import { isTheDatabase } from './is-the-database'
import type { Connection, ConnectionPool, KnexClient } from './knex-client'

/** What an error of a statement says about its connection. */
export type ConnectionVerdict =
  /** The server has responded, and will respond again. */
  | 'sound'
  /** The connection has ended, or the server will not respond on it any more. */
  | 'lost'
  /** The server takes no writes, as after a failover. Nothing was executed. */
  | 'read-only'

/** For Knex's log. */
const WHY_DROPPED: Readonly<Record<Exclude<ConnectionVerdict, 'sound'>, string>> = {
  lost: 'the connection was lost',
  'read-only': 'its server takes no writes'
}

/**
 * A pool is drained of connections to a read-only server at most once in so many milliseconds. It must not be rarer where the server is
 * read-only for long: the connections that there are may stay read-only when new ones are not, and nothing else would try a new one.
 */
const DRAIN_AGAIN_MS = 1000
/**
 * The events by which a pool tells of a new connection: the event of Knex's pool, and the events of pools that an application may bring.
 * The connection is the last argument of each.
 */
const MADE_EVENTS = ['createSuccess', 'connect', 'connection']

/** When the server last responded on each connection, by `monotonicNow()`. */
const lastAnswer = new WeakMap<Connection, { at: number }>()
const ofConfig = new WeakMap<object, PoolHealth>()

/** What is known of the connections of a Knex's pool, and which of them must not be used again. The transactions of the Knex share it. */
export class PoolHealth {
  /** A connection is suspect if its last response is older than this moment. 0 until a statement had no response. */
  private suspectBefore = 0
  private readonly watched = new WeakSet<ConnectionPool>()
  private drainedAt = Number.NEGATIVE_INFINITY
  private leftToDrain = 0
  /** Undefined until a client with the pool was seen, because a transaction does not know the pool. */
  private pool: ConnectionPool | undefined
  /** Errors after which the statement may be tried once more. */
  private readonly renewed = new WeakSet<object>()

  /** Kept by the configuration, because a transaction has the configuration of its Knex. */
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
   * Called when a statement that was sent at `sentAt` had no response. Perhaps a firewall has forgotten this connection. Then it has also
   * forgotten all connections that were idle for as long. Connections that have had no response since then are not used again.
   */
  unanswered(client: KnexClient, connection: Connection, sentAt: number): void {
    this.drop(client, connection, 'the database did not respond to a statement in time')
    this.suspectBefore = Math.max(this.suspectBefore, sentAt)
    this.watch(client)
  }

  /** Called after a statement failed. Drops the connection if it is of no use any more. */
  failed(client: KnexClient, connection: Connection, verdict: ConnectionVerdict, error: unknown): void {
    if (verdict === 'sound') return
    if (verdict === 'read-only' && !this.mayDrain(client.pool ?? this.pool)) return
    if (this.drop(client, connection, WHY_DROPPED[verdict]) && verdict === 'read-only') this.renewed.add(error as object)
  }

  /** True if the statement that failed with this error was not executed and may be sent on another connection now. */
  isWorthAnother(error: unknown): boolean {
    return typeof error === 'object' && error !== null && this.renewed.delete(error)
  }

  /** Returns a connection that is not suspect. */
  async soundConnection(client: KnexClient): Promise<Connection> {
    for (;;) {
      const connection = (await client.acquireConnection()) as Connection
      if (
        !this.isSuspect(client, connection) ||
        !this.drop(client, connection, 'the database did not respond on another connection, and this one was idle for as long')
      )
        return connection
      if (client.pool !== undefined) client.releaseConnection(connection)
    }
  }

  private isSuspect(client: KnexClient, connection: Connection): boolean {
    const last = lastAnswer.get(connection)
    // A connection without a known response is old, if the pool has told of each new one.
    return last === undefined ? poolsOf(client).some((pool) => this.watched.has(pool)) : last.at < this.suspectBefore
  }

  /** From now on, new connections of the pool can be told from the older ones. */
  private watch(client: KnexClient): void {
    for (const pool of poolsOf(client)) {
      if (pool.on === undefined || this.watched.has(pool)) continue
      this.watched.add(pool)
      for (const event of MADE_EVENTS) pool.on(event, (...made) => this.answered(made.at(-1) as Connection))
    }
  }

  /**
   * True if one more connection may be dropped because its server is read-only. In one round, as many may be dropped as there are now,
   * because after a failover all of them lead to the old server.
   */
  private mayDrain(pool: ConnectionPool | undefined): boolean {
    const now = monotonicNow()
    if (now - this.drainedAt >= DRAIN_AGAIN_MS) {
      this.drainedAt = now
      this.leftToDrain = Math.max(1, (pool?.numUsed?.() ?? 0) + (pool?.numFree?.() ?? 0))
    }
    return this.leftToDrain-- > 0
  }

  /**
   * Makes the pool destroy the connection when it comes back. Returns false if the connection must not be destroyed. The reason is a text
   * and never an error: Knex logs it, and Knex may have put bound values into the text of an error.
   */
  private drop(client: KnexClient, connection: Connection, why: string): boolean {
    if (isTheDatabase(client, connection)) return false
    connection.__knex__disposed ??= `the session store closes this connection, and the pool makes a new one: ${why}`
    return true
  }
}

/** Knex's pool, and the driver's pool if the application has brought one. */
function poolsOf({ pool, config }: KnexClient): ConnectionPool[] {
  return [pool, config.connectionPool].filter((one) => one !== undefined)
}
