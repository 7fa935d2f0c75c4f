import { getOrMake } from './get-or-make'

/**
 * What is known of the pool of one Knex. It is plain data, which every copy of this package in the process reads and changes, so that
 * promises about "your pool" hold for all copies together. Its shape must not change under `registry@1`.
 */
export interface PoolShare {
  /** Connections in use by stores, … */
  used: number
  /** … and the most there may be. */
  maxConnections: number
  /** What waits for a connection, and how many connections each has to leave to others. */
  readonly waiting: Map<{ proceed(): void }, number>
  /** Connections that were given back a moment ago, and are kept from the pool for the next statement. */
  readonly kept: object[]
}

/** What this process knows: one object for every copy of this package, after a hot reload or a module reset, or beside another version. */
export interface ProcessRegistry {
  /** Tables of databases that can be named: a server, a file. By table, see `schema/registry.ts`. */
  readonly named: Map<string, Map<string, unknown>>
  /** Tables of databases that are only themselves: a transaction, a pool in memory. */
  readonly anonymous: WeakMap<object, Map<string, unknown>>
  /** By the client of a Knex. */
  readonly pools: WeakMap<object, PoolShare>
}

const KEY = Symbol.for('knex-session-store/registry@1')

export function processRegistry(): ProcessRegistry {
  const holder = globalThis as { [KEY]?: ProcessRegistry }
  holder[KEY] ??= { named: new Map(), anonymous: new WeakMap(), pools: new WeakMap() }
  return holder[KEY]
}

/** The share of the Knex's client, made at the first call. */
export function poolShareOf(client: object): PoolShare {
  const unused = (): PoolShare => ({ used: 0, maxConnections: Number.POSITIVE_INFINITY, waiting: new Map(), kept: [] })
  return getOrMake(processRegistry().pools, client, unused)
}
