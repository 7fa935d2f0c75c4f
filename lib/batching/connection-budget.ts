import { type PoolShare, poolShareOf } from '../runtime/process-registry'

/** Something that waits for a connection of the budget. */
export interface Waiting {
  /** Called when this one may use a connection. */
  proceed(): void
}

/**
 * Limits how many of the application's connections are in use at once. All lanes of one Knex share it. What waits for a connection gets it
 * in the order of arrival.
 */
export class ConnectionBudget {
  /** @param share the numbers that all stores and all copies of this module share for one pool */
  constructor(
    maxConnections: number,
    private readonly share: PoolShare = poolShareOf({})
  ) {
    this.lowerTo(maxConnections)
  }

  /** True if the pool may have one connection only. */
  get isOfOne(): boolean {
    return this.share.maxConnections === 1
  }

  /** Each of the stores that share a Knex has promised its own maximum. The smallest maximum keeps all promises. */
  lowerTo(maxConnections: number): void {
    this.share.maxConnections = Math.min(this.share.maxConnections, maxConnections)
  }

  /**
   * Returns true if a connection may be used now. Otherwise `waiting` is called when one may be used.
   *
   * @param toLeave how many connections must stay free for others
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
    // The one that is called may have nothing to send any more. Then it does not take the connection, and the next one may.
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
