import { type Frame, framesFrom, runWithin } from './context'

/** What a store needs before it can be used in a transaction. */
export interface ReadyStore {
  /** Sees to it that the table is there. */
  ready?(): Promise<void>
}

/**
 * The session stores that write in the units of one `UnitOfWork`, and whether their tables are known to be there.
 *
 * No circle of waiting. Two things are waited for that others hold: the connections of the pool, and the places in the store's budget of
 * connections. A call of a store holds a place while it waits for a connection. So what holds a connection must never wait for a place, nor
 * for a second connection: then each unit that has its connection ends without either, and all others get theirs in turn. For this reason
 * - a unit settles that the tables are there before it takes its connection, and never while it or a unit around it has one;
 * - a unit that has a connection makes every call of its store on that connection, which takes no place.
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

  /** What a unit waits for before it takes a connection; undefined if that is nothing. */
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
      // The call in the unit says what is wrong. A unit that makes none has nothing to do with it.
    }
  }
}

/** True if code in this frame, or in one around it, holds a connection. */
function isHolding(within: Frame | undefined): boolean {
  for (const frame of framesFrom(within)) if (frame.holdsConnection) return true
  return false
}
