import type { Knex } from 'knex'
import { assemble } from '../assemble'
import { driverOf } from '../dialects/dialect'
import { InvalidOptionError } from '../errors'
import { Database } from '../knex/database'
import { COUNTERPARTS } from '../options/counterparts'
import { type KnexSessionStoreOptions, resolveOptions, STORE_OPTIONS } from '../options/store-options'
import { takeTurns } from '../runtime/event-loop'
import { refuseUnknown } from '../unknown-option'
import { type ImportOutcome, importBatch } from './import-batch'
import { type ForeignPage, SourceTable } from './source-table'
import { type ImportSourceOptions, resolveSource } from './sources'

/** Options of {@link importSessions}: the table of the other store, and the options of the store that gets the sessions. */
export interface ImportSessionsOptions extends ImportSourceOptions, Omit<KnexSessionStoreOptions, 'knex'> {
  /** The number of rows in a batch, at most 1000. @default 500 */
  batchSize?: number
  /** Called at the beginning and after each batch, with the number of rows that were read and the number of all rows. @default none */
  onProgress?: (done: number, total: number) => void
  /** Stops the import after the current batch. The next run imports the rest. @default never */
  signal?: AbortSignal
}

/** What became of the sessions of the other store. */
export interface ImportSessionsResult {
  /** The number of rows that were read. */
  readonly looked: number
  /** The number of sessions that this run has imported. If several runs import at once, only one of them counts a session. */
  readonly imported: number
  /** The number of sessions that already had a row here, alive or dead. The row was not changed. */
  readonly alreadyThere: number
  /** The number of sessions that were not imported, because they expired or their owner has logged out everywhere. */
  readonly ended: number
  /** The number of rows that hold no session or no expiry. The other store does not return them either. */
  readonly unreadable: number
  /** True if the import was stopped before all rows were read. */
  readonly isStopped: boolean
}

const IMPORT_OPTIONS = ['from', 'fromTable', 'fromSchema', 'fromColumns', 'batchSize', 'onProgress', 'signal']
const BATCH = 500
const MAX_BATCH = 1000

/**
 * Copies the live sessions of another store's table into the table of this store. So nobody is signed out when an application changes its
 * store. The other table is only read.
 *
 * The import works in batches while applications run. It may be stopped and run again: a session that has a row here, alive or dead, is not
 * changed. So no log-out is undone, and no change here is lost. For each session the import also writes a receipt, which is a row of the
 * table. The receipt prevents a second import after the row of the session was pruned.
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
    for (const [outcome, count] of Object.entries(await importBatch(parts, options, page.rows))) counts[outcome as ImportOutcome] += count
    counts.looked += page.rows.length
    onProgress?.(counts.looked, Math.max(total, counts.looked))
    await takeTurns()
  }
  return { ...counts, isStopped: page === undefined || page.next !== undefined }
}
