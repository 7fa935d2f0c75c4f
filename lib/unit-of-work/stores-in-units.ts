import { type Frame, framesFrom, runWithin } from './context'

/** A store that has to be ready before it can be used in a transaction. */
export interface ReadyStore {
  /** Sees to it that the table is there. */
  ready?(): Promise<void>
}

/**
 * The session stores that write in the units of one `UnitOfWork`, and whether their tables are known to exist.
 *
 * No circle of waiting. Requests wait for two things that others hold: connections of the pool, and places in the store's budget of
 * connections. A call of a store holds a place while it waits for a connection. So code that holds a connection must never wait for a
 * place, nor for a second connection. Then each unit with a connection ends without either, and all others get theirs in turn. For this
 * reason
 * - a unit settles that the tables exist before it takes its connection, and never while it or a unit around it has one;
 * - a unit with a connection makes every call of its store on that connection, which takes no place.
 */
export class StoresInUnits {
  readonly #known = new WeakSet<ReadyStore>()
  readonly #unsettled = new Set<ReadyStore>()

  /**
   * @param owner the Knex client that the units are of
   * @param current gives the unit of the code that asks
   */
  constructor(
    readonly owner: object,
    readonly current: () => Frame | undefined
  ) {}

  add(store: ReadyStore): void {
    if (this.#known.has(store)) return
    this.#known.add(store)
    this.#unsettled.add(store)
  }

  /** A call failed: the table may have gone. The next unit looks before it begins. */
  distrust(store: ReadyStore): void {
    this.#unsettled.add(store)
  }

  /** Returns what a unit waits for before it takes a connection; undefined if that is nothing. */
  settle(within: Frame | undefined): Promise<unknown> | undefined {
    if (this.#unsettled.size === 0 || isHolding(within)) return undefined
    return Promise.all([...this.#unsettled].map((store) => this.#settleOne(store)))
  }

  async #settleOne(store: ReadyStore): Promise<void> {
    try {
      // Outside of every unit: inside, the store would be asked to do it on the connection that waits for this.
      await runWithin(undefined, () => store.ready?.())
      this.#unsettled.delete(store)
    } catch {
      // A call in the unit reports the error. Units without such a call do not depend on it.
    }
  }
}

/** True if code in this frame, or in one around it, holds a connection. */
function isHolding(within: Frame | undefined): boolean {
  for (const frame of framesFrom(within)) if (frame.holdsConnection) return true
  return false
}
