import type { Soon } from '../soon'

/** Whoever waits for a connection of the budget. */
export interface Waiting {
  /** Called when a connection may be had. */
  proceed(): void
}

/** How many of the user's connections may be in use at once, shared by all lanes of one Knex. Those who wait are served in turn. */
export class ConnectionBudget {
  private used = 0
  /** With how many each has to leave to others. */
  private readonly queue = new Map<Waiting, number>()

  constructor(private maxConnections: number) {}

  /** True where one connection is all there may be. */
  get isOfOne(): boolean {
    return this.maxConnections === 1
  }

  /** Stores that share a Knex each promised their maximum; the smallest keeps every promise. */
  lowerTo(maxConnections: number): void {
    this.maxConnections = Math.min(this.maxConnections, maxConnections)
  }

  /**
   * True if a connection may be used now; else `waiting` is called when one may.
   *
   * @param toLeave how many connections have to be left to others
   */
  take(waiting: Waiting, toLeave = 0): boolean {
    if (this.used >= this.maxConnections - toLeave) {
      this.queue.set(waiting, toLeave)
      return false
    }
    this.used++
    return true
  }

  giveBack(): void {
    this.used--
    // One who is called may have nothing left to send; then the next may have the connection.
    for (const [waiting, toLeave] of this.queue) {
      if (this.used >= this.maxConnections) return
      if (this.used >= this.maxConnections - toLeave) continue
      this.queue.delete(waiting)
      waiting.proceed()
    }
  }

  /** Runs `work` with one connection of the budget. */
  async use<T>(work: () => Soon<T>): Promise<T> {
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
