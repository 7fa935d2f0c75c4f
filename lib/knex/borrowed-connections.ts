import type { Deadlines } from '../calls/deadlines'
import { afterAnswers } from '../runtime/event-loop'
import { getOrMake } from '../runtime/get-or-make'
import type { MaybePromise } from '../runtime/maybe-promise'
import { poolShareOf } from '../runtime/process-registry'
import { type Connection, isPlainPool, type KnexClient } from './knex-client'
import { PoolHealth } from './pool-health'
import { PoolUse } from './pool-use'

const ofClient = new WeakMap<KnexClient, BorrowedConnections>()

/** The most statements in flight at once on one connection, if its driver pipelines them. */
const MOST_SHARING = 2

/**
 * The connections that statements borrow from a Knex's pool. A connection that is given back is kept for a moment: the results of one
 * statement mostly bring the next, and the pool costs a fifth of a small statement. No connection is kept while something waits for the
 * pool, nor beyond this turn of the event loop.
 */
export class BorrowedConnections {
  readonly health: PoolHealth
  private readonly kept: Connection[]
  /** How many statements are in flight on each connection that may be shared. */
  private readonly shared = new Map<Connection, number>()
  private returning = false
  private readonly pool: PoolUse

  private constructor(private readonly client: KnexClient) {
    this.pool = PoolUse.of(client)
    this.health = PoolHealth.of(client)
    this.kept = poolShareOf(client).kept as Connection[]
  }

  static of(client: KnexClient): BorrowedConnections {
    return getOrMake(ofClient, client, () => new BorrowedConnections(client))
  }

  /**
   * Returns a connection at once if one was kept or can be shared, else within the time of a statement.
   *
   * @param mayShare true if the statement never waits for a lock. Then it may go behind another such statement on the same connection.
   */
  acquire(deadlines: Deadlines, mayShare = false): MaybePromise<Connection> {
    if (mayShare && this.shared.size > 0) {
      for (const [connection, count] of this.shared) {
        if (count < MOST_SHARING && connection.__knex__disposed === undefined) return connection
      }
    }
    const { client } = this
    if (this.kept.length > 0 && isPlainPool(client)) {
      for (let connection = this.kept.pop(); connection !== undefined; connection = this.kept.pop()) {
        if (connection.__knex__disposed === undefined) return connection
        this.release(connection)
      }
    }
    return this.pool.acquire(deadlines)
  }

  /** Lets other statements share a connection that was acquired, until all of them have given it back. */
  share(connection: Connection): void {
    this.shared.set(connection, (this.shared.get(connection) ?? 0) + 1)
  }

  giveBack(connection: Connection): void {
    if (this.shared.size > 0 && this.isStillShared(connection)) return
    const { client } = this
    const isDropped = connection.__knex__disposed !== undefined
    if (!isDropped) this.health.answered(connection)
    const isWaitedFor = client.pool?.numPendingAcquires?.() !== 0
    if (isWaitedFor || isDropped || !isPlainPool(client)) {
      this.release(connection)
      return
    }
    this.kept.push(connection)
    if (this.returning) return
    this.returning = true
    afterAnswers(() => {
      this.returning = false
      for (const unused of this.kept.splice(0)) this.release(unused)
    })
  }

  private isStillShared(connection: Connection): boolean {
    const count = this.shared.get(connection)
    if (count === undefined) return false
    if (count > 1) this.shared.set(connection, count - 1)
    else this.shared.delete(connection)
    return count > 1
  }

  private release(connection: Connection): void {
    this.pool.release(connection)
  }
}
