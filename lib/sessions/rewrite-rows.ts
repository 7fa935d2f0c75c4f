import type { ConnectionBudget } from '../batching/connection-budget'
import { SessionConflictError, UnreadableSessionError, UnserializableSessionError } from '../errors'
import type { ResolvedOptions } from '../options/store-options'
import type { SessionRecord } from '../record/session-record'
import { takeTurns } from '../runtime/event-loop'
import type { SessionTable } from '../table/session-table'
import type { Page } from '../table/table-scan'

/** The parts of a store that {@link rewriteRows} needs. */
export interface RewritingParts {
  readonly table: SessionTable
  readonly budget: ConnectionBudget
  readonly options: ResolvedOptions
}

/** How {@link rewriteRows} reports its progress and is stopped. */
export interface RewritingOptions {
  /** Stops the work after the current batch. The next run rewrites the rest. @default never */
  readonly signal?: AbortSignal
  /** Called at the beginning and after each batch, with the number of rows that were read and the number of all rows. @default none */
  readonly onProgress?: (done: number, total: number) => void
  /** The number of rows in a batch. @default 100 */
  readonly batchSize?: number
}

/** The number of rows by what became of them. */
export interface RewritingResult {
  /** Rows that were read. */
  readonly looked: number
  /** Rows that were rewritten. */
  readonly rewritten: number
  /** Rows that this codec cannot read. They were not changed. */
  readonly unreadable: number
  /** Rows that could not be moved, because another row has their new id. They were not changed. */
  readonly taken: number
  /** True if the work was stopped before all rows were read. */
  readonly isStopped: boolean
}

/** The new id and data of a row. */
export type RowToWrite = Pick<SessionRecord, 'id' | 'data'>

/** Returns the new id and data of a row, or undefined if the row need not change. */
export type NewRow = (record: SessionRecord) => Promise<RowToWrite | undefined>

type RowOutcome = 'current' | 'rewritten' | 'unreadable' | 'taken' | 'gone'

const BATCH = 100
/** How often one row is tried. A try fails only if a request has written the row meanwhile. */
const MAX_TRIES = 20

/**
 * Rewrites the rows of all live sessions with the store's prefix, batch by batch in the order of their ids. If a request changes a row
 * meanwhile, the row is read again, so no write is lost.
 */
export async function rewriteRows(parts: RewritingParts, newRow: NewRow, options: RewritingOptions = {}): Promise<RewritingResult> {
  const { signal, onProgress, batchSize = BATCH } = options
  const range = { prefix: parts.options.prefix, idLength: undefined }
  const total = await count(parts, range, signal)
  const counts: Record<RowOutcome, number> = { current: 0, rewritten: 0, unreadable: 0, taken: 0, gone: 0 }
  let looked = 0
  onProgress?.(0, total)
  let after: string | undefined = ''
  while (after !== undefined && signal?.aborted !== true) {
    const from: string = after
    const page: Page<SessionRecord[]> = await parts.budget.use(() => parts.table.page(range, from, batchSize))
    for (const outcome of await Promise.all(page.found.map((record) => rewriteRow(parts, newRow, record)))) counts[outcome]++
    looked += page.found.length
    onProgress?.(looked, Math.max(total, looked))
    after = page.next
    await takeTurns()
  }
  const { rewritten, unreadable, taken } = counts
  return { looked, rewritten, unreadable, taken, isStopped: after !== undefined }
}

async function count(
  { table, budget }: RewritingParts,
  range: Parameters<SessionTable['count']>[0],
  signal?: AbortSignal
): Promise<number> {
  let total = 0
  let after: string | undefined = ''
  while (after !== undefined && signal?.aborted !== true) {
    const from: string = after
    const page: Page<number> = await budget.use(() => table.count(range, from))
    total += page.found
    after = page.next
    await takeTurns()
  }
  return total
}

async function rewriteRow(parts: RewritingParts, newRow: NewRow, first: SessionRecord): Promise<RowOutcome> {
  const { id } = first
  let record: SessionRecord | null = first
  for (let tries = 1; tries <= MAX_TRIES; tries++) {
    const row = await newRow(record).catch(nullIfUnreadable)
    if (row === null) return 'unreadable'
    if (row === undefined) return 'current'
    const isTaken = row.id !== id && (await load(parts, row.id)) !== null
    if (!isTaken && (await write(parts, record, row))) return 'rewritten'
    record = await load(parts, id)
    if (record === null || record.expiresAt <= parts.options.clock()) return 'gone'
    if (isTaken) return 'taken'
  }
  throw new SessionConflictError(`${MAX_TRIES} tries in a row to write its row anew`)
}

function nullIfUnreadable(error: unknown): null {
  if (error instanceof UnreadableSessionError || error instanceof UnserializableSessionError) return null
  throw error
}

async function write(parts: RewritingParts, record: SessionRecord, { id, data }: RowToWrite): Promise<boolean> {
  try {
    return await parts.budget.use(() => parts.table.rewrite(record, data, id))
  } catch (error) {
    // Another row has got the new id since it was looked up, so the database refuses a second row with this id.
    if (id !== record.id && (await load(parts, id)) !== null) return false
    throw error
  }
}

async function load({ table, budget }: RewritingParts, id: string): Promise<SessionRecord | null> {
  const [record = null] = await budget.use(async () => table.load([id]))
  return record
}
