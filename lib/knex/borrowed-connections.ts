import type { Deadlines } from '../deadlines'
import { afterAnswers } from '../turns'
import { type Connection, isPlainPool, type KnexClient } from './knex-client'
import { PoolUse } from './pool-use'

const ofClient = new WeakMap<KnexClient, BorrowedConnections>()

/**
 * The connections that statements borrow from a Knex's pool. One that is given back is kept for a moment, because the answers to one
 * statement mostly bring the next one, and asking the pool costs a fifth of a small statement. Nothing is kept while somebody waits for the
 * pool, nor beyond this turn of the event loop.
 */
export class BorrowedConnections {
  private readonly kept: Connection[] = []
  private returning = false

  private readonly pool: PoolUse

  private constructor(private readonly client: KnexClient) {
    this.pool = PoolUse.of(client)
  }

  static of(client: KnexClient): BorrowedConnections {
    let borrowed = ofClient.get(client)
    if (borrowed === undefined) {
      borrowed = new BorrowedConnections(client)
      ofClient.set(client, borrowed)
    }
    return borrowed
  }

  /** At once where one was kept; else within the time of a statement. */
  acquire(deadlines: Deadlines): Connection | Promise<Connection> {
    if (this.kept.length > 0 && isPlainPool(this.client)) {
      for (let connection = this.kept.pop(); connection !== undefined; connection = this.kept.pop()) {
        if (connection.__knex__disposed === undefined) return connection
        this.release(connection)
      }
    }
    return this.pool.acquire(deadlines)
  }

  giveBack(connection: Connection): void {
    const { client } = this
    const isWaitedFor = client.pool?.numPendingAcquires?.() !== 0
    if (isWaitedFor || connection.__knex__disposed !== undefined || !isPlainPool(client)) {
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

  private release(connection: Connection): void {
    this.pool.release(connection)
  }
}
