import type { ConnectionBudget } from '../batching/connection-budget'
import { SessionConflictError, UnreadableSessionError, UnserializableSessionError } from '../errors'
import type { ResolvedOptions } from '../options/store-options'
import type { SessionRecord } from '../record/session-record'
import { takeTurns } from '../runtime/event-loop'
import type { SessionTable } from '../table/session-table'
import type { Page } from '../table/table-scan'

/** What work on all rows of a store is done with. */
export interface RewritingParts {
  readonly table: SessionTable
  readonly budget: ConnectionBudget
  readonly options: ResolvedOptions
}

/** How far such work is, and how it is stopped. */
export interface RewritingOptions {
  /** Stops the work after the batch that is under way. What is done is done: the next run goes on with the rest. @default never */
  readonly signal?: AbortSignal
  /** Told at the beginning and after each batch how many rows were looked at, and how many there are. @default none */
  readonly onProgress?: (done: number, total: number) => void
  /** The number of rows of a batch. @default 100 */
  readonly batchSize?: number
}

/** What became of the rows. */
export interface RewritingResult {
  /** Rows that were looked at. */
  readonly looked: number
  /** Rows that were written anew. */
  readonly rewritten: number
  /** Rows that cannot be read with this codec. They are as they were. */
  readonly unreadable: number
  /** Rows that could not be moved, because another row has their new id. They are as they were. */
  readonly taken: number
  /** Whether there are rows that were not looked at, because the work was stopped. */
  readonly isStopped: boolean
}

/** How a row is stored from now on. */
export type RowToWrite = Pick<SessionRecord, 'id' | 'data'>

/** Returns how a row is to be stored from now on, or undefined if it may stay as it is. */
export type NewRow = (record: SessionRecord) => Promise<RowToWrite | undefined>

type Outcome = 'current' | 'rewritten' | 'unreadable' | 'taken' | 'gone'

const BATCH = 100
/** A row is not written only if a request wrote it meanwhile. */
const MAX_TRIES = 20

/**
 * Writes the rows of all live sessions with the store's prefix anew, batch by batch in the order of their ids. A row that a request changes
 * meanwhile is looked at again, so no write is lost.
 */
export async function rewriteRows(parts: RewritingParts, newRow: NewRow, options: RewritingOptions = {}): Promise<RewritingResult> {
  const { signal, onProgress, batchSize = BATCH } = options
  const range = { prefix: parts.options.prefix, idLength: undefined }
  const total = await count(parts, range, signal)
  const counts: Record<Outcome, number> = { current: 0, rewritten: 0, unreadable: 0, taken: 0, gone: 0 }
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

async function rewriteRow(parts: RewritingParts, newRow: NewRow, first: SessionRecord): Promise<Outcome> {
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
    // Another row has got the id meanwhile, and the database refuses a second one.
    if (id !== record.id && (await load(parts, id)) !== null) return false
    throw error
  }
}

async function load({ table, budget }: RewritingParts, id: string): Promise<SessionRecord | null> {
  const [record = null] = await budget.use(async () => table.load([id]))
  return record
}
