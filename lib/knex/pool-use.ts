import { withinTime } from '../calls/callbacks'
import type { Deadlines } from '../calls/deadlines'
import { PoolExhaustedError, type PoolUsage, TimeoutError } from '../database-errors'
import { getOrMake } from '../runtime/get-or-make'
import { monotonicNow } from '../runtime/natives'
import { whileConnecting } from './failed-connecting'
import type { Connection, KnexClient } from './knex-client'
import { PoolHealth } from './pool-health'
import { type Explanation, Waits } from './waits'

const ofClient = new WeakMap<KnexClient, PoolUse>()

/**
 * How statements of this package use a Knex's pool. They wait for a connection no longer than a statement may take. If the application has
 * used up its pool, the error says so.
 */
export class PoolUse {
  /** How many connections are lent to statements of this package now. */
  private lent = 0
  private last: Connection | undefined

  private readonly health: PoolHealth

  private constructor(private readonly client: KnexClient) {
    this.health = PoolHealth.of(client)
  }

  static of(client: KnexClient): PoolUse {
    return getOrMake(ofClient, client, () => new PoolUse(client))
  }

  /** A connection of the pool. Give it back by {@link release}. */
  async acquire(deadlines: Deadlines): Promise<Connection> {
    const { client } = this
    const { health } = this
    try {
      const mayBeSuspect = health.hasSuspects && client.transacting !== true
      const acquired = mayBeSuspect ? health.soundConnection(client) : (client.acquireConnection() as Promise<Connection>)
      // Mostly a connection is free. Then no limit of time is needed, and its cost is saved.
      const isHad = client.transacting === true || client.pool?.numPendingAcquires?.() === 0
      const connection = await (isHad ? acquired : this.acquireInTime(acquired, deadlines))
      this.last = connection
      this.lent++
      return connection
    } catch (error) {
      throw whileConnecting(client, error)
    }
  }

  release(connection: Connection): void {
    this.lent--
    // If Knex was destroyed meanwhile, there is no pool to give it back to.
    if (this.client.transacting === true || this.client.pool !== undefined) this.client.releaseConnection(connection)
  }

  /**
   * The same for a transaction, for which Knex acquires the connection by itself.
   *
   * @param waitMs after so many milliseconds the transaction is not begun any more
   * @param transaction runs the transaction, and calls `begun` when it has its connection
   */
  async during<T>(waitMs: number, transaction: (begun: () => void) => Promise<T>): Promise<T> {
    const until = monotonicNow() + waitMs
    const explain = this.explanation()
    const isOver = Waits.of(this.client).begin(explain)
    let hasBegun = false
    try {
      return await transaction(() => {
        if (monotonicNow() > until) throw new TimeoutError('statement', waitMs)
        isOver()
        hasBegun = true
        this.lent++
      })
    } catch (error) {
      throw hasBegun ? error : whileConnecting(this.client, whyNone(error, explain))
    } finally {
      isOver()
      if (hasBegun) this.lent--
    }
  }

  private async acquireInTime(acquired: Promise<Connection>, deadlines: Deadlines): Promise<Connection> {
    const explain = this.explanation()
    const isOver = Waits.of(this.client).begin(explain)
    try {
      return await withinTime(acquired, 'statement', deadlines)
    } catch (error) {
      // The connection may still come, and nothing wants it then.
      if (error instanceof TimeoutError) {
        acquired.then(
          (connection) => this.client.releaseConnection(connection),
          () => undefined
        )
      }
      throw whyNone(error, explain)
    } finally {
      isOver()
    }
  }

  private explanation(): Explanation {
    const since = monotonicNow()
    return (operation, dialect, waitedMs = Math.round(monotonicNow() - since)) => {
      const usage = this.usage()
      if (usage !== undefined) return new PoolExhaustedError(operation, dialect ?? this.client.driverName, usage, waitedMs)
      const isConnecting = (this.client.pool?.numPendingCreates?.() ?? 0) > 0
      return isConnecting ? new TimeoutError(operation, waitedMs, 'not-written', true) : undefined
    }
  }

  /** Returns undefined if connections are free, if the pool does not tell, or if our own statements use up the pool without a response. */
  private usage(): PoolUsage | undefined {
    const { pool } = this.client
    const used = pool?.numUsed?.()
    if (pool?.max === undefined || used === undefined || used < pool.max || used <= this.lent) return undefined
    const isInTransaction = pool.max === 1 && this.last?.__knexTxId !== undefined
    return { used, max: pool.max, waiting: pool.numPendingAcquires?.() ?? 0, own: this.lent, isInTransaction }
  }
}

/**
 * Turns a time-out into an error that says that the pool is used up. The time-out may be ours or Knex's. Knex's has no code, and may come
 * from another copy of Knex.
 */
function whyNone(error: unknown, explain: Explanation): unknown {
  const isTimeout = error instanceof TimeoutError || (error as Error | null)?.name === 'KnexTimeoutError'
  const explanation = isTimeout ? explain('statement') : undefined
  if (explanation === undefined || error instanceof TimeoutError) return explanation ?? error
  // The time of Knex was over, and not the time of the statement.
  if (!(explanation instanceof PoolExhaustedError)) return error
  const { dialect, usage, waitedMs } = explanation
  return new PoolExhaustedError('statement', dialect, usage, waitedMs, 'acquireConnectionTimeout')
}
