import type { Knex } from 'knex'
import type { Intent } from '../dialects/work-dialect'
import { type Connection, clientOf, type KnexClient, type KnexContainer, type RowStream } from '../knex/knex-client'
import { awaitWithin, type Frame } from './context'
import type { Place } from './place'
import { isWrite, type Scope } from './scope'
import { streamClientOf } from './stream-client'
import type { WorkInProgress } from './work-in-progress'

/** What a unit gives to its place. */
export interface UnitPlaceSettings {
  /** The client of the pool. */
  readonly pool: KnexClient
  /** Where the place adds the work that it begins. */
  readonly inProgress: WorkInProgress
  /** Throws if the unit accepts no more statements. */
  assertAdmits(): void
  /** Returns the unit's transaction, and begins it if necessary. `intent` says whether the statement that needs it writes. */
  open(intent: Intent): Promise<Scope>
  /** Makes the frame for the code in a nested transaction. */
  frameOf(nested: Knex.Transaction): Frame
}

/** The transaction of a unit, as builders see it. */
export class UnitPlace implements Place {
  constructor(private readonly unit: UnitPlaceSettings) {}

  async run<T>(work: (client: KnexClient) => Promise<T>, method?: string): Promise<T> {
    this.unit.assertAdmits()
    return this.unit.inProgress.add(this.#run(work, isWrite(method) ? 'write' : 'any'))
  }

  streamClient(): KnexClient {
    this.unit.assertAdmits()
    return streamClientOf(this.unit.pool, () => this.#client())
  }

  streamed(rows: RowStream): void {
    this.unit.inProgress.addStream(rows)
  }

  /** Begins a nested transaction. If the result of `container` cannot be awaited, other code has to end the transaction: it is a handle. */
  transaction(container: KnexContainer, config: object | undefined): Promise<unknown> {
    const { inProgress, open, frameOf } = this.unit
    this.unit.assertAdmits()
    let known: () => void = () => undefined
    inProgress.add(
      new Promise<void>((resolve) => {
        known = resolve
      })
    )
    const outcome = open('any').then(({ trx }) =>
      trx.transaction((nested) => {
        const result = awaitWithin(frameOf(nested), () => container(nested))
        if (!(result instanceof Promise)) {
          inProgress.addHandle(nested)
          known()
        }
        return result as Promise<unknown>
      }, config)
    )
    outcome.then(known, known)
    return outcome
  }

  async acquireConnection(): Promise<Connection> {
    this.unit.assertAdmits()
    return (await this.#client()).acquireConnection()
  }

  async releaseConnection(): Promise<void> {
    // The unit keeps its connection until it ends.
  }

  async #run<T>(work: (client: KnexClient) => Promise<T>, intent: Intent): Promise<T> {
    const scope = await this.unit.open(intent)
    try {
      return await work(clientOf(scope.trx))
    } catch (error) {
      // Knex has given up the statement, but the server may still be running it.
      if ((error as Error | undefined)?.name === 'KnexTimeoutError') await scope.fail(error)
      throw error
    }
  }

  async #client(): Promise<KnexClient> {
    return clientOf((await this.unit.open('any')).trx)
  }
}
