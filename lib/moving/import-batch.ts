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
export type Outcome = 'imported' | 'alreadyThere' | 'ended' | 'unreadable'

/** A session of the other store, with what is here under its id. */
interface Found {
  readonly session: RecordToPut
  /** Its row, alive or ended. */
  readonly row: SessionRecord | null
  readonly receipt: SessionRecord | null
  readonly receiptId: string
  /** The mark that the owner has logged out everywhere. Undefined if the session has no owner. */
  readonly markId: string | undefined
}

/** The data of a receipt while its session is under way. */
const OPEN = '{"open":true}'

/** A row has it until it is updated. */
const FIRST_REVISION = 1

/**
 * Imports the sessions of these rows. Each gets an open receipt before it gets its row, and the receipt is closed at the end. A session
 * whose receipt is closed is never touched again. One whose receipt is open is dealt with once more, because another run is at it, or has
 * failed in between. A receipt is closed once, by one run, which counts the session.
 */
export async function importBatch(
  { records }: Pick<Parts, 'records'>,
  options: ResolvedOptions,
  rows: readonly ForeignRow[]
): Promise<Record<Outcome, number>> {
  const now = options.clock()
  const dated = rows.filter(({ expiresAt }) => expiresAt !== undefined)
  const live = dated.filter(({ expiresAt = 0 }) => expiresAt > now)
  const sessions = (await Promise.all(live.map((row) => toRecordToPut(row, options, now)))).filter((record) => record !== undefined)
  const found = await lookFor(records, options.prefix, sessions)
  const [undone, done] = divide(found, ({ receipt }) => receipt === null || receipt.data === OPEN)
  // No import has made the row: the receipt would be there.
  const [others, ours] = divide(undone, ({ row, receipt }) => row !== null && receipt === null)
  const [endedBefore, alive] = await divideByOwners(records, ours)
  await writeReceipts(records, alive, now, OPEN)
  await writeReceipts(records, [...others, ...endedBefore], now)
  await allDone(alive.filter(({ row }) => row === null).map(({ session }) => records.insert(session)))
  // Once more after the insert: a log-out everywhere that did not find the sessions here has left its mark before.
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

/** The rows first: if there is one and then no receipt, it is not of an import. */
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

/** False for a row that a visitor has begun under the same id since the receipt was written. */
function isOfImport({ row, receipt }: Found): boolean {
  return row === null || (receipt !== null && row.createdAt <= receipt.createdAt)
}

/** Writes the receipts of sessions that have none. */
async function writeReceipts(records: SessionRecords, found: readonly Found[], now: number, data?: string): Promise<void> {
  const rows = found.filter(({ receipt }) => receipt === null).map((one) => emptyRow(one.receiptId, one.session.expiresAt, now))
  await allDone(rows.map((row) => records.insert(data === undefined ? row : { ...row, data })))
}

/** Returns whether this run has closed the receipt. */
function closeReceipt(records: SessionRecords, { receiptId, session }: Found): Promise<boolean> {
  return records.update({ ...emptyRow(receiptId, session.expiresAt, 0), revision: FIRST_REVISION })
}

/** Divides them by whether their owner has logged out everywhere. */
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
 * The id of a row that says that a session was imported. The row stays until the session would have expired in the other store. So a session
 * that has ended here, and was pruned, is not imported again. No session can have the id, which ends with a colon.
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

/** Waits for all, so that nothing is under way when it fails. */
async function allDone<T>(works: readonly Promise<T>[]): Promise<T[]> {
  const outcomes = await Promise.allSettled(works)
  return outcomes.map((outcome) => {
    if (outcome.status === 'rejected') throw outcome.reason
    return outcome.value
  })
}
