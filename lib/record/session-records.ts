import type { Caller } from '../calls/caller'
import type { RecordToPut, RecordToTouch, RecordToUpdate, RecordToUpdateWithLife, SessionRecord } from './session-record'

/**
 * The rows of one sessions table, one row for each call. Every implementation passes `spec/table/session-records.contract.ts`. A row is
 * dead if its session was destroyed or has expired. A dead row may still be in the table.
 *
 * When a caller gives up, the work for it is given up too. A call without a caller has as much time as one with a caller.
 */
export interface SessionRecords {
  /** The number of calls that wait for a statement. */
  readonly waiting: number
  /** Returns the row, dead or alive, or null. */
  load(id: string, caller?: Caller): Promise<SessionRecord | null>
  /** Inserts the row if no row has its id, dead or alive. */
  insert(record: RecordToPut, caller?: Caller): Promise<void>
  /** Inserts or overwrites the row. Returns its new revision. */
  put(record: RecordToPut, caller?: Caller): Promise<number>
  /** Like `put`, but leaves a dead row as it is and returns null. */
  putUnlessDead(record: RecordToPut, caller?: Caller): Promise<number | null>
  /** Overwrites the row if it is alive and at the given revision. The later expiry stays. Returns whether it wrote. */
  update(record: RecordToUpdate, caller?: Caller): Promise<boolean>
  /** Like `update`, but sets exactly the given expiry. */
  updateWithLife(record: RecordToUpdateWithLife, caller?: Caller): Promise<boolean>
  /** Renews the expiry if the row is alive. The later expiry stays. Returns whether the row was alive. */
  touch(record: RecordToTouch, caller?: Caller): Promise<boolean>
  /** Marks the row as destroyed and blanks its data, if there is a row. */
  remove(id: string, caller?: Caller): Promise<void>
}
