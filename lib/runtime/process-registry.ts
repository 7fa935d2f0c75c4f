import { getOrMake } from './get-or-make'

/**
 * What this process knows of the pool of one Knex. It is plain data, which every copy of this package reads and changes. So what the store
 * promises about "your pool" holds for all copies together. Its shape must not change under `registry@1`.
 */
export interface PoolShare {
  /** How many connections are in use by stores, … */
  used: number
  /** … and how many may be. */
  maxConnections: number
  /** What waits for a connection, and how many connections each must leave to others. */
  readonly waiting: Map<{ proceed(): void }, number>
  /** Connections that were given back a moment ago. They are kept for the next statement and not given to the pool yet. */
  readonly kept: object[]
}

/**
 * What this process knows. All copies of this package share the one object: after a hot reload, after a module reset, and beside another
 * version.
 */
export interface ProcessRegistry {
  /** Tables of databases that have a name: a server, a file. For each table, see `schema/registry.ts`. */
  readonly named: Map<string, Map<string, unknown>>
  /** Tables of databases without a name: a transaction, a pool in memory. */
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
