import type { WriteOrder } from '../batching/write-order'
import type { Announce } from '../events'
import type { ResolvedOptions } from '../options/store-options'
import type { Revisions } from '../record/revisions'
import type { SessionRecords } from '../record/session-records'

/** What the operations on sessions work with. */
export interface SessionsParts {
  readonly options: ResolvedOptions
  readonly records: SessionRecords
  readonly order: WriteOrder
  readonly revisions: Revisions
  /** Whether what `get` gives may be copied before it is set. express-session does not, and says what it has made of it. */
  readonly isCopied: () => boolean
  readonly announce: Announce
  /** What stands for the transaction of the caller, if the records are in one. */
  readonly transaction: object | undefined
}
