import type { WriteOrder } from '../batching/write-order'
import type { Announce } from '../events'
import type { ResolvedOptions } from '../options/store-options'
import type { Revisions } from '../record/revisions'
import type { SessionRecords } from '../record/session-records'

/** The parts that the operations on sessions work with. */
export interface SessionsParts {
  readonly options: ResolvedOptions
  readonly records: SessionRecords
  readonly order: WriteOrder
  readonly revisions: Revisions
  /** True if the client may set a copy of what `get` returned. express-session does not: it passes the object to `createSession`. */
  readonly isCopied: () => boolean
  readonly announce: Announce
  /** Ends the oldest sessions of an owner who has too many. */
  readonly limitOwner: (ownerId: string) => Promise<void>
  /** Identifies the caller's transaction, if the records are written in one. */
  readonly transaction: object | undefined
}
