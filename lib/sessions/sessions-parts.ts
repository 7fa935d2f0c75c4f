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
  /** Whether the client may copy what `get` returned before it sets it. express-session does not: it tells what it has made of it. */
  readonly isCopied: () => boolean
  readonly announce: Announce
  /** Ends the oldest sessions of an owner that has too many. */
  readonly limitOwner: (ownerId: string) => Promise<void>
  /** Stands for the transaction of the caller, if the records are in one. */
  readonly transaction: object | undefined
}
