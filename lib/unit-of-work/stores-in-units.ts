import { type Frame, framesFrom, runWithin } from './context'

/** A store whose table has to exist before the store can be used in a transaction. */
export interface ReadyStore {
  /** Resolves when the table exists. */
  ready?(): Promise<void>
}

/**
 * The session stores that write in the units of one `UnitOfWork`, and whether their tables are known to exist.
 *
 * Requests must not wait for each other in a circle. They wait for two things: connections of the pool, and places in the store's budget of
 * connections. A call of a store holds a place while it waits for a connection. So code that holds a connection must never wait for a
 * place, nor for a second connection. Then every unit that has a connection can end, and the others get their connections in turn. Two
 * rules follow:
 * - A unit makes sure that the tables exist before it takes its connection, and never while it or a unit around it has a connection.
 * - A unit with a connection makes every call of its store on this connection, which needs no place.
 */
export class StoresInUnits {
  readonly #known = new WeakSet<ReadyStore>()
  readonly #unsettled = new Set<ReadyStore>()

  /**
   * @param owner the Knex client of the units
   * @param current returns the unit of the running code
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

  /** Called after a failed call, because the table may be missing. The next unit looks for the table before it begins. */
  distrust(store: ReadyStore): void {
    this.#unsettled.add(store)
  }

  /** Returns a promise that a unit has to await before it takes a connection. Undefined if there is nothing to wait for. */
  settle(within: Frame | undefined): Promise<unknown> | undefined {
    if (this.#unsettled.size === 0 || isHolding(within)) return undefined
    return Promise.all([...this.#unsettled].map((store) => this.#settleOne(store)))
  }

  async #settleOne(store: ReadyStore): Promise<void> {
    try {
      // Runs outside of every unit. In a unit, the store would use the unit's connection, and the unit takes its connection only after
      // this.
      await runWithin(undefined, () => store.ready?.())
      this.#unsettled.delete(store)
    } catch {
      // The error is ignored here. A call of the store in the unit reports it, and a unit without such a call does not need the table.
    }
  }
}

/** True if this frame, or a frame around it, holds a connection. */
function isHolding(within: Frame | undefined): boolean {
  for (const frame of framesFrom(within)) if (frame.holdsConnection) return true
  return false
}
