import type { Knex } from 'knex'
import { assemble } from '../assemble'
import { driverOf } from '../dialects/dialect'
import { InvalidOptionError } from '../errors'
import { Database } from '../knex/database'
import { COUNTERPARTS } from '../options/counterparts'
import { type KnexSessionStoreOptions, resolveOptions, STORE_OPTIONS } from '../options/store-options'
import { takeTurns } from '../runtime/event-loop'
import { refuseUnknown } from '../unknown-option'
import { importBatch, type Outcome } from './import-batch'
import { type ForeignPage, SourceTable } from './source-table'
import { type ImportSourceOptions, resolveSource } from './sources'

/** Options of {@link importSessions}: where the sessions are read, and the options of the store that they are imported for. */
export interface ImportSessionsOptions extends ImportSourceOptions, Omit<KnexSessionStoreOptions, 'knex'> {
  /** The number of rows of a batch, at most 1000. @default 500 */
  batchSize?: number
  /** Told at the beginning and after each batch how many rows were looked at, and how many there are. @default none */
  onProgress?: (done: number, total: number) => void
  /** Stops after the batch that is under way. The next run goes on with the rest. @default never */
  signal?: AbortSignal
}

/** What became of the sessions of the other store. */
export interface ImportSessionsResult {
  /** The rows that were looked at. */
  readonly looked: number
  /** The sessions that this run has carried over: of several runs at once, one counts the session. */
  readonly imported: number
  /** The sessions that had a row here before, alive or ended. It was left as it is. */
  readonly alreadyThere: number
  /** The sessions that were not imported, because they have expired, or because their owner has logged out everywhere. */
  readonly ended: number
  /** The rows that hold no session, or no moment at which it expires. The other store does not return them either. */
  readonly unreadable: number
  /** Whether there are rows that were not looked at, because the work was stopped. */
  readonly isStopped: boolean
}

const IMPORT_OPTIONS = ['from', 'fromTable', 'fromSchema', 'fromColumns', 'batchSize', 'onProgress', 'signal']
const BATCH = 500
const MAX_BATCH = 1000

/**
 * Copies the live sessions of another store's table into the table of this store, so that nobody is signed out when an application changes the
 * store. The other table is only read.
 *
 * It works in batches, beside running applications, and may be stopped and run again: a session that has a row here, alive or ended, is left
 * as it is. So no log-out is undone, and no change here is lost. A receipt for each session, a row of the table, says so after the row of the
 * session was pruned.
 *
 * @throws {InvalidOptionError} {@link UnknownOptionError} if an option is wrong, or the other table is not there
 * @example
 * import { importSessions } from 'knex-session-store'
 *
 * const { imported } = await importSessions(db, { from: 'connect-pg-simple', tableName: 'web_sessions', owner: (session) => session.name })
 */
export async function importSessions(knex: Knex, given: ImportSessionsOptions): Promise<ImportSessionsResult> {
  const { from, fromTable, fromSchema, fromColumns, batchSize = BATCH, onProgress, signal, ...rest } = given ?? {}
  if (!Number.isSafeInteger(batchSize) || batchSize < 1 || batchSize > MAX_BATCH)
    throw new InvalidOptionError('batchSize', `a whole number from 1 to ${MAX_BATCH}`, batchSize)
  refuseUnknown(given ?? {}, [...IMPORT_OPTIONS, ...STORE_OPTIONS], '', COUNTERPARTS)
  const options = resolveOptions({ ...rest, knex })
  const source = resolveSource({ from, fromTable, fromSchema, fromColumns }, options.table)
  const parts = assemble(options)
  const read = new SourceTable(Database.of(knex, options.timeoutMs, driverOf(options.dialect)), options.dialect, source)
  await read.requireColumns()
  const { total, withoutId } = await read.count()
  const counts = { looked: withoutId, imported: 0, alreadyThere: 0, ended: 0, unreadable: withoutId }
  onProgress?.(0, total)
  let page: ForeignPage | undefined
  while ((page === undefined || page.next !== undefined) && signal?.aborted !== true) {
    page = await read.page(page?.next, batchSize)
    for (const [outcome, count] of Object.entries(await importBatch(parts, options, page.rows))) counts[outcome as Outcome] += count
    counts.looked += page.rows.length
    onProgress?.(counts.looked, Math.max(total, counts.looked))
    await takeTurns()
  }
  return { ...counts, isStopped: page === undefined || page.next !== undefined }
}
