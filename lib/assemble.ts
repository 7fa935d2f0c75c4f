import { CoalescedRecords } from './batching/coalesced-records'
import { ConnectionBudget } from './batching/connection-budget'
import { LockedRows } from './batching/locked-rows'
import { WriteOrder } from './batching/write-order'
import { withinTime } from './calls/callbacks'
import { Deadlines } from './calls/deadlines'
import { driverOf } from './dialects/dialect'
import { Database } from './knex/database'
import { Waits } from './knex/waits'
import { systemClock } from './options/option-functions'
import type { ResolvedOptions } from './options/store-options'
import type { SessionRecords } from './record/session-records'
import { getOrMake } from './runtime/get-or-make'
import { poolShareOf } from './runtime/process-registry'
import { type RegisteredTable, register } from './schema/registry'
import { TablePresence } from './schema/table-presence'
import { Pruner } from './table/pruner'
import { SessionTable } from './table/session-table'
import { SingleRecords } from './table/single-records'

/** The parts that the stores of one Knex and table share, so that each store is cheap. */
export interface Parts {
  readonly entry: RegisteredTable
  readonly table: SessionTable
  readonly records: SessionRecords
  readonly order: WriteOrder
  readonly budget: ConnectionBudget
  readonly pruner: Pruner | undefined
  /** Deletes at most `limit` rows that are long dead, within `timeoutMs`, and returns how many. */
  readonly prune: (limit: number) => Promise<number>
}

/** The options that the parts are built from. Stores that differ in one of them do not share their parts. */
const SHARED_BY = [
  'table',
  'createTable',
  'timeoutMs',
  'prepare',
  'durability',
  'batch',
  'pruneIntervalMs',
  'pruneBatchSize'
] as const satisfies readonly (keyof ResolvedOptions)[]

/**
 * What the parts may be built from: another option here would not compile. The dialect is made of `knex`, `prepare` and `durability`, the
 * clock is the system's where parts are shared, and of all `maxConnections` the least one holds.
 */
type BuildingOptions = Pick<ResolvedOptions, (typeof SHARED_BY)[number] | 'knex' | 'dialect' | 'clock' | 'maxConnections'>

const partsOfClient = new WeakMap<object, Map<string, Parts>>()
const budgetOfClient = new WeakMap<object, ConnectionBudget>()
const lockedRowsOfBudget = new WeakMap<ConnectionBudget, LockedRows>()

/** The only place that builds the parts. No I/O, no timer: those begin with the first call. */
export function assemble(options: ResolvedOptions): Parts {
  const entry = register(options.knex, options.table)
  // A store with a clock or a transaction of its own shares nothing that depends on it.
  if (options.clock !== systemClock || options.knex.isTransaction) return build(options, entry)
  const parts = getOrMake(partsOfClient, options.knex.client, () => new Map<string, Parts>())
  const key = JSON.stringify(SHARED_BY.map((name) => options[name]))
  let shared = parts.get(key)
  if (shared === undefined) {
    shared = build(options, entry)
    parts.set(key, shared)
  }
  shared.budget.lowerTo(options.maxConnections)
  return shared
}

function build(options: BuildingOptions, entry: RegisteredTable): Parts {
  const { knex, dialect, timeoutMs, pruneIntervalMs, pruneBatchSize } = options
  const db = Database.of(knex, timeoutMs, driverOf(dialect))
  const presence = new TablePresence(knex, db, dialect, entry, options.createTable)
  const table = new SessionTable(db, dialect, entry.definition, presence, options.clock)
  const budget = getOrMake(budgetOfClient, knex.client, () => new ConnectionBudget(options.maxConnections, poolShareOf(knex.client)))
  budget.lowerTo(options.maxConnections)
  const lockedRows = getOrMake(lockedRowsOfBudget, budget, () => new LockedRows(budget))
  const limits = options.batch
    ? dialect
    : { maxBatch: 1, inFlight: { reads: options.maxConnections, writes: options.maxConnections, spare: 0 } }
  const records = db.isTransaction ? new SingleRecords(table) : new CoalescedRecords(table, limits, { budget, lockedRows }, timeoutMs)
  const order = new WriteOrder(entry.lastWrites)
  // `close()` waits for the round of pruning that is under way.
  const deadlines = new Deadlines(timeoutMs, (operation, waitedMs) => Waits.of(knex.client).explain(operation, dialect.name, waitedMs))
  const inTime = <T>(statement: () => Promise<T>) => withinTime(budget.use(statement), 'prune', deadlines)
  const prune = (limit: number) => inTime(() => table.prune(limit))
  const pruner =
    pruneIntervalMs === false || db.isTransaction
      ? undefined
      : new Pruner({
          intervalMs: pruneIntervalMs,
          batchSize: pruneBatchSize,
          claim: (leaseMs) => inTime(() => table.claimPruning(leaseMs)),
          prune,
          isAlive: () => db.client.pool !== undefined
        })
  return { entry, table, records, order, budget, pruner, prune }
}
