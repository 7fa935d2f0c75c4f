import type { SessionStoreError } from '../errors'
import { getOrMake } from '../runtime/get-or-make'
import type { KnexClient } from './knex-client'

/** Makes the error of a call that waited until its time was over. Returns undefined if the reason for the wait is gone meanwhile. */
export type Explanation = (operation: string, dialect?: string, waitedMs?: number) => SessionStoreError | undefined

const ofClient = new WeakMap<KnexClient, Waits>()

/**
 * What the statements of one Knex wait for before the database works on them: a connection of the pool, or a lock of the database file. If
 * the time of a call is over during such a wait, the error names this cause. It does not say that the database did not respond.
 */
export class Waits {
  private readonly underWay = new Set<Explanation>()

  private constructor() {}

  static of(client: KnexClient): Waits {
    return getOrMake(ofClient, client, () => new Waits())
  }

  /** Begins a wait. Returns the function that ends it. */
  begin(explanation: Explanation): () => void {
    this.underWay.add(explanation)
    return () => void this.underWay.delete(explanation)
  }

  /** Returns the error for a call whose time is over. Returns undefined if nothing is waited for. */
  readonly explain: Explanation = (operation, dialect, waitedMs) => {
    for (const explanation of this.underWay) {
      const error = explanation(operation, dialect, waitedMs)
      if (error !== undefined) return error
    }
    return undefined
  }
}
