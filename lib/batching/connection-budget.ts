import type { Soon } from '../soon'

/** Whoever waits for a connection of the budget. */
export interface Waiting {
  /** Called when a connection may be had. */
  proceed(): void
}

/** How many of the user's connections may be in use at once, shared by all lanes of one Knex. Those who wait are served in turn. */
export class ConnectionBudget {
  private used = 0
  private readonly queue = new Set<Waiting>()

  constructor(private maxConnections: number) {}

  /** Stores that share a Knex each promised their maximum; the smallest keeps every promise. */
  lowerTo(maxConnections: number): void {
    this.maxConnections = Math.min(this.maxConnections, maxConnections)
  }

  /** True if a connection may be used now; else `waiting` is called when one is given back. */
  take(waiting: Waiting): boolean {
    if (this.used >= this.maxConnections) {
      this.queue.add(waiting)
      return false
    }
    this.used++
    return true
  }

  giveBack(): void {
    this.used--
    // One who is called may have nothing left to send; then the next may have the connection.
    for (const waiting of this.queue) {
      if (this.used >= this.maxConnections) return
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
