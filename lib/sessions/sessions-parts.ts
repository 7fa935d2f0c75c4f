import type { WriteOrder } from '../batching/write-order'
import type { Announce } from '../events'
import type { ResolvedOptions } from '../options/store-options'
import type { Revisions } from '../record/revisions'
import type { SessionRecords } from '../record/session-records'
import type { MovedSession, SignIn } from './sign-ins'

/** The parts that the operations on sessions work with. */
export interface SessionsParts {
  readonly options: ResolvedOptions
  readonly records: SessionRecords
  readonly order: WriteOrder
  readonly revisions: Revisions
  /** True if the client may set a copy of what `get` returned. With express-session it cannot, because it passes the object itself. */
  readonly isCopied: () => boolean
  readonly announce: Announce
  /** Called after the write of a session that has got an owner. Rejects if it is unknown whether the owner has logged out meanwhile. */
  readonly afterSignIn: (signIn: SignIn) => Promise<void>
  /** Returns whether the owner has logged out everywhere without keeping this session. Such a log-out is remembered for a while. */
  readonly hasLoggedOut: (session: MovedSession) => Promise<boolean>
  /** Ends the session, and keeps its dead row until a moment in milliseconds since the epoch. */
  readonly bury: (storedId: string, until: number) => Promise<void>
  /** Identifies the transaction in which the records are written. Undefined outside of a transaction. */
  readonly transaction: object | undefined
}
