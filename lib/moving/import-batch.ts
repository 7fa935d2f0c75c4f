import type { Parts } from '../assemble'
import { markIn } from '../dialects/dialect'
import type { ResolvedOptions } from '../options/store-options'
import { emptyRow, type RecordToPut, type SessionRecord } from '../record/session-record'
import type { SessionRecords } from '../record/session-records'
import { handleOf, OWN_ROWS } from '../record/stored-id'
import { isKept, markIdOf } from '../sessions/sign-ins'
import { toRecordToPut } from './foreign-session'
import type { ForeignRow } from './source-table'

/** What can become of a row of the other store. */
export type ImportOutcome = 'imported' | 'alreadyThere' | 'ended' | 'unreadable'

/** A session of the other store, with the rows of this table that concern it. */
interface Found {
  readonly session: RecordToPut
  /** The row under the id of the session, alive or dead. */
  readonly row: SessionRecord | null
  /** The row that says whether the session was imported before. See {@link receiptIdOf}. */
  readonly receipt: SessionRecord | null
  readonly receiptId: string
  /** The id of the mark that is there if the owner has logged out everywhere. Undefined if the session has no owner. */
  readonly markId: string | undefined
}

/** The data of an open receipt: the import of its session has begun and not ended. */
const OPEN = '{"open":true}'

/** The revision of a row that was inserted and never updated. */
const FIRST_REVISION = 1

/**
 * Imports the sessions of these rows. For each session it writes an open receipt, then the row of the session, and then closes the receipt.
 * A session with a closed receipt is never imported again. A session with an open receipt is imported again, because the other run may have
 * failed half-way. Only one run can close a receipt, and this run counts the session.
 */
export async function importBatch(
  { records }: Pick<Parts, 'records'>,
  options: ResolvedOptions,
  rows: readonly ForeignRow[]
): Promise<Record<ImportOutcome, number>> {
  const now = options.clock()
  const dated = rows.filter(({ expiresAt }) => expiresAt !== undefined)
  const live = dated.filter(({ expiresAt = 0 }) => expiresAt > now)
  const sessions = (await Promise.all(live.map((row) => toRecordToPut(row, options, now)))).filter((record) => record !== undefined)
  const found = await lookFor(records, options.prefix, sessions)
  const [undone, done] = divide(found, ({ receipt }) => receipt === null || receipt.data === OPEN)
  // A row without a receipt was not made by an import, because an import writes the receipt first.
  const [others, ours] = divide(undone, ({ row, receipt }) => row !== null && receipt === null)
  const [endedBefore, alive] = await divideByOwners(records, ours)
  await writeReceipts(records, alive, now, OPEN)
  await writeReceipts(records, [...others, ...endedBefore], now)
  await allDone(alive.filter(({ row }) => row === null).map(({ session }) => records.insert(session)))
  // Looked up again after the insert: a log-out everywhere that came too early to find the inserted sessions has left its mark by now.
  const [endedSince, carried] = await divideByOwners(records, alive)
  const ended = [...endedBefore, ...endedSince]
  await allDone(ended.filter(isOfImport).map(({ session: { id } }) => records.remove(id)))
  const closed = await allDone([...carried, ...ended].map((one) => closeReceipt(records, one)))
  const imported = closed.slice(0, carried.length).filter(Boolean).length
  return {
    imported,
    alreadyThere: done.length + others.length + carried.length - imported,
    ended: dated.length - live.length + ended.length,
    unreadable: rows.length - dated.length + live.length - sessions.length
  }
}

/**
 * Loads the rows of this table that concern the sessions. Rows are loaded before receipts. So if a row is there and its receipt is not, no
 * import has made the row.
 */
async function lookFor(records: SessionRecords, prefix: string, sessions: readonly RecordToPut[]): Promise<Found[]> {
  const receiptIds = sessions.map(({ id }) => receiptIdOf(id))
  const owners = new Set(sessions.map(({ ownerId }) => ownerId).filter((ownerId) => ownerId !== null))
  const markIds = new Map([...owners].map((ownerId) => [ownerId, markIdOf(prefix, ownerId)]))
  const rows = await allDone(sessions.map(({ id }) => records.load(id)))
  const receipts = await allDone(receiptIds.map((id) => records.load(id)))
  return sessions.map((session, index) => ({
    session,
    row: rows[index] ?? null,
    receipt: receipts[index] ?? null,
    receiptId: receiptIds[index] as string,
    markId: session.ownerId === null ? undefined : markIds.get(session.ownerId)
  }))
}

/** False if the row is younger than the receipt: then a visitor has begun a session under the same id. */
function isOfImport({ row, receipt }: Found): boolean {
  return row === null || (receipt !== null && row.createdAt <= receipt.createdAt)
}

/** Writes receipts for the sessions that have none yet. Without `data`, the receipts are closed. */
async function writeReceipts(records: SessionRecords, found: readonly Found[], now: number, data?: string): Promise<void> {
  const rows = found.filter(({ receipt }) => receipt === null).map((one) => emptyRow(one.receiptId, one.session.expiresAt, now))
  await allDone(rows.map((row) => records.insert(data === undefined ? row : { ...row, data })))
}

/** Closes the receipt. Returns false if another run has closed it before. */
function closeReceipt(records: SessionRecords, { receiptId, session }: Found): Promise<boolean> {
  return records.update({ ...emptyRow(receiptId, session.expiresAt, 0), revision: FIRST_REVISION })
}

/** Divides the sessions by whether their owner has logged out everywhere. */
async function divideByOwners(records: SessionRecords, found: readonly Found[]): Promise<[ended: Found[], alive: Found[]]> {
  const markIds = new Set(found.map(({ markId }) => markId).filter((id) => id !== undefined))
  const rows = await allDone([...markIds].map((id) => records.load(id)))
  const marks = new Map(rows.flatMap((row) => (row === null ? [] : [[row.id, markIn(row.data)] as const])))
  return divide(found, ({ session: { id }, markId = '' }) => {
    const mark = marks.get(markId)
    return mark !== undefined && !isKept(mark, id)
  })
}

/**
 * Returns the id of the receipt of a session: a row that says that the session was imported. It stays until the session would have expired
 * in the other store. So a session is not imported again after it has ended here and its row was pruned. The id ends with a colon, so no
 * session can have it.
 */
function receiptIdOf(storedId: string): string {
  return `${OWN_ROWS}imported:${handleOf(storedId)}:`
}

function divide<T>(all: readonly T[], isFirst: (one: T) => boolean): [T[], T[]] {
  const first: T[] = []
  const second: T[] = []
  for (const one of all) (isFirst(one) ? first : second).push(one)
  return [first, second]
}

/** Waits for all promises, also if one rejects. So nothing is still running when the caller gets the error. */
async function allDone<T>(works: readonly Promise<T>[]): Promise<T[]> {
  const outcomes = await Promise.allSettled(works)
  return outcomes.map((outcome) => {
    if (outcome.status === 'rejected') throw outcome.reason
    return outcome.value
  })
}
