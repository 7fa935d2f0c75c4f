import type { WriteOrder } from '../batching/write-order'
import type { Announce } from '../events'
import type { ResolvedOptions } from '../options'
import type { Revisions } from '../record/revisions'
import type { SessionRecords } from '../table/session-records'

/** What the operations on sessions work with. */
export interface SessionsParts {
  readonly options: ResolvedOptions
  readonly records: SessionRecords
  readonly order: WriteOrder
  readonly revisions: Revisions
  /** Whether loads are known by the async context they were asked for in: not where express-session names the object it loaded. */
  readonly entersLoads: () => boolean
  readonly announce: Announce
  /** What stands for the transaction of the caller, if the records are in one. */
  readonly transaction: object | undefined
}
