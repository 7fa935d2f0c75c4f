import { type PoolShare, poolShareOf } from '../runtime/process-registry'

/** Something that waits for a connection of the budget. */
export interface Waiting {
  /** Called when a connection may be had. */
  proceed(): void
}

/**
 * The number of the user's connections that may be in use at once, shared by all lanes of one Knex. What waits for one is served in turn.
 */
export class ConnectionBudget {
  /** @param share the pool's, if stores and copies of this module share it */
  constructor(
    maxConnections: number,
    private readonly share: PoolShare = poolShareOf({})
  ) {
    this.lowerTo(maxConnections)
  }

  /** True where one connection is all there may be. */
  get isOfOne(): boolean {
    return this.share.maxConnections === 1
  }

  /** Stores that share a Knex each promised their maximum; the smallest keeps every promise. */
  lowerTo(maxConnections: number): void {
    this.share.maxConnections = Math.min(this.share.maxConnections, maxConnections)
  }

  /**
   * True if a connection may be used now; else `waiting` is called when one may.
   *
   * @param toLeave how many connections have to be left to others
   */
  take(waiting: Waiting, toLeave = 0): boolean {
    if (!this.isFree(toLeave)) {
      this.share.waiting.set(waiting, toLeave)
      return false
    }
    this.share.used++
    return true
  }

  giveBack(): void {
    const { share } = this
    share.used--
    // One that is called may have nothing left to send. Then the next may have the connection.
    for (const [waiting, toLeave] of share.waiting) {
      if (share.used >= share.maxConnections) return
      if (!this.isFree(toLeave)) continue
      share.waiting.delete(waiting)
      waiting.proceed()
    }
  }

  private isFree(toLeave: number): boolean {
    return this.share.used < Math.max(1, this.share.maxConnections - toLeave)
  }

  /** Runs `work` with one connection of the budget. */
  async use<T>(work: () => Promise<T>): Promise<T> {
    await new Promise<void>((resolve) => {
      const waiting = { proceed: () => (this.take(waiting) ? resolve() : undefined) }
      waiting.proceed()
    })
    try {
      return await work()
    } finally {
      this.giveBack()
    }
  }
}
