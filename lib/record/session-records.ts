import type { Caller } from '../calls/caller'
import type { RecordToPut, RecordToTouch, RecordToUpdate, SessionRecord } from './session-record'

/**
 * The rows of one sessions table, one call for each row. Every implementation passes `spec/table/session-records.contract.ts`. A dead row
 * is that of a session that was destroyed or has expired; it may still be in the table.
 *
 * Work that is done for a caller is given up with the caller. Without a caller, it has the time of one.
 */
export interface SessionRecords {
  /** Calls that wait for a statement. */
  readonly waiting: number
  /** The row, dead or alive, or null. */
  load(id: string, caller?: Caller): Promise<SessionRecord | null>
  /** Inserts, if there is no row of that id, dead or alive. */
  insert(record: RecordToPut, caller?: Caller): Promise<void>
  /** Inserts or overwrites. Returns the revision that the row has now. */
  put(record: RecordToPut, caller?: Caller): Promise<number>
  /** The same, unless the row is there and dead: then null, and it stays as it is. */
  putUnlessDead(record: RecordToPut, caller?: Caller): Promise<number | null>
  /** Overwrites the row if it is alive and at the given revision; the later expiry stays. Returns whether it was. */
  update(record: RecordToUpdate, caller?: Caller): Promise<boolean>
  /** The same, with exactly the given expiry. */
  updateWithExpiry(record: RecordToUpdate, caller?: Caller): Promise<boolean>
  /** Renews the expiry if the row is alive; the later expiry stays. Returns whether it was. */
  touch(record: RecordToTouch, caller?: Caller): Promise<boolean>
  /** Blanks the row and ends its life, if it is there. */
  remove(id: string, caller?: Caller): Promise<void>
}
