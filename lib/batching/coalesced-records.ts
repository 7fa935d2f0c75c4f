import type { Caller } from '../calls/caller'
import type { Dialect } from '../dialects/dialect'
import type { StatementBounds } from '../knex/statement-bounds'
import type { RecordToPut, RecordToTouch, RecordToUpdate, RecordToUpdateWithLife, SessionRecord } from '../record/session-record'
import type { SessionRecords } from '../record/session-records'
import { andThen, type MaybePromise } from '../runtime/maybe-promise'
import type { SessionTable } from '../table/session-table'
import type { ConnectionBudget } from './connection-budget'
import { Lane, type LaneOptions } from './lane'
import type { LockedRows } from './locked-rows'

/** The most rows of one statement: enough for ordinary sessions. A few huge sessions get statements of their own. */
const MAX_BATCH_BYTES = 1_048_576

/**
 * The smallest number of rows that a batch of reads is split down to. With two statements, the database works on one while this process
 * works on the other.
 */
const SMALL_READ = 2
/** The same for writes. It is larger, because each statement of writes also costs a commit. */
const SMALL_WRITE = 16

/** How many rows go in one statement, and how many statements are in flight at once. */
export type BatchLimits = Pick<Dialect, 'maxBatch' | 'inFlight'>

/** The parts that the lanes of one Knex share. */
export interface SharedConnections {
  readonly budget: ConnectionBudget
  readonly lockedRows: LockedRows
}

/** The rows of many callers in one statement: a decorator over the table, one lane for each kind of call. */
export class CoalescedRecords implements SessionRecords {
  private readonly loads: Lane<string, SessionRecord | null>
  private readonly inserts: Lane<RecordToPut, undefined>
  private readonly puts: Lane<RecordToPut, number>
  private readonly livePuts: Lane<RecordToPut, number | null>
  private readonly updates: Lane<RecordToUpdate, boolean>
  private readonly updatesWithLife: Lane<RecordToUpdateWithLife, boolean>
  private readonly touches: Lane<RecordToTouch, boolean>
  private readonly removals: Lane<string, undefined>
  private readonly lockedRows: LockedRows

  constructor(table: SessionTable, { maxBatch, inFlight }: BatchLimits, { budget, lockedRows }: SharedConnections, timeoutMs: number) {
    const shared = { maxBatch, maxBatchBytes: MAX_BATCH_BYTES, spare: inFlight.spare, budget, timeoutMs }
    this.lockedRows = lockedRows
    const writes = { ...shared, lockedRows, sameId: 'in-turn' as const, smallBatch: SMALL_WRITE, maxInFlight: inFlight.writes }
    const large = { idOf, sizeOf: ({ data }: { data: string }) => data.length }
    const put: Pick<LaneOptions<RecordToPut, unknown>, 'idOf' | 'sizeOf'> = large
    const small = { sizeOf: () => 0 }
    const bareId = { ...small, idOf: (id: string) => id }
    this.loads = new Lane({
      ...shared,
      ...bareId,
      operation: 'get',
      // Only calls that wait are joined. A load in flight is not, because its result may already be out of date.
      sameId: 'shared',
      smallBatch: SMALL_READ,
      maxInFlight: inFlight.reads,
      run: (ids, bounds) => table.load(ids, bounds)
    })
    this.inserts = new Lane({ ...writes, ...put, operation: 'set', run: (records, bounds) => each(records, table.insert(records, bounds)) })
    this.puts = new Lane({ ...writes, ...put, operation: 'set', run: (records, bounds) => table.put(records, bounds) })
    this.livePuts = new Lane({ ...writes, ...put, operation: 'set', run: (records, bounds) => table.putUnlessDead(records, bounds) })
    this.updates = new Lane({
      ...writes,
      ...large,
      operation: 'set',
      run: (records: RecordToUpdate[], bounds: StatementBounds) => table.update(records, bounds)
    })
    this.updatesWithLife = new Lane({
      ...writes,
      ...large,
      operation: 'set',
      run: (records: RecordToUpdateWithLife[], bounds: StatementBounds) => table.updateWithLife(records, bounds)
    })
    this.touches = new Lane({
      ...writes,
      ...small,
      idOf,
      operation: 'touch',
      run: (records: RecordToTouch[], bounds: StatementBounds) => table.touch(records, bounds)
    })
    this.removals = new Lane({ ...writes, ...bareId, operation: 'destroy', run: (ids, bounds) => each(ids, table.remove(ids, bounds)) })
  }

  get waiting(): number {
    const lanes = [this.loads, this.inserts, this.puts, this.livePuts, this.updates, this.updatesWithLife, this.touches, this.removals]
    return lanes.reduce((total, lane) => total + lane.waiting, this.lockedRows.waiting)
  }

  load(id: string, caller?: Caller): Promise<SessionRecord | null> {
    return this.loads.submit(id, caller)
  }

  insert(record: RecordToPut, caller?: Caller): Promise<void> {
    return this.inserts.submit(record, caller)
  }

  put(record: RecordToPut, caller?: Caller): Promise<number> {
    return this.puts.submit(record, caller)
  }

  putUnlessDead(record: RecordToPut, caller?: Caller): Promise<number | null> {
    return this.livePuts.submit(record, caller)
  }

  update(record: RecordToUpdate, caller?: Caller): Promise<boolean> {
    return this.updates.submit(record, caller)
  }

  updateWithLife(record: RecordToUpdateWithLife, caller?: Caller): Promise<boolean> {
    return this.updatesWithLife.submit(record, caller)
  }

  touch(record: RecordToTouch, caller?: Caller): Promise<boolean> {
    return this.touches.submit(record, caller)
  }

  remove(id: string, caller?: Caller): Promise<void> {
    return this.removals.submit(id, caller)
  }
}

/** Returns the result undefined for each item. */
function each(items: readonly unknown[], work: MaybePromise<void>): MaybePromise<undefined[]> {
  return andThen(work, () => items.map(() => undefined))
}

function idOf({ id }: { id: string }): string {
  return id
}
