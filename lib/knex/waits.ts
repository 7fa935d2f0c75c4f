import type { SessionStoreError } from '../errors'
import { getOrMake } from '../runtime/get-or-make'
import type { KnexClient } from './knex-client'

/** Makes the error of a call whose time was over while it waited; undefined if the reason has gone meanwhile. */
export type Explanation = (operation: string, dialect?: string, waitedMs?: number) => SessionStoreError | undefined

const ofClient = new WeakMap<KnexClient, Waits>()

/**
 * What the statements of one Knex wait for before the database works on them: a connection of the pool, a lock of the database file. A call
 * whose time is over meanwhile can name the cause, and does not blame the database for not answering.
 */
export class Waits {
  private readonly underWay = new Set<Explanation>()

  private constructor() {}

  static of(client: KnexClient): Waits {
    return getOrMake(ofClient, client, () => new Waits())
  }

  /** Begins one. Returns what ends it. */
  begin(explanation: Explanation): () => void {
    this.underWay.add(explanation)
    return () => void this.underWay.delete(explanation)
  }

  /** The error for a call whose time is over, or undefined if nothing is waited for. */
  readonly explain: Explanation = (operation, dialect, waitedMs) => {
    for (const explanation of this.underWay) {
      const error = explanation(operation, dialect, waitedMs)
      if (error !== undefined) return error
    }
    return undefined
  }
}
