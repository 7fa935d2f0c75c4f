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
  /** True if the client may set a copy of what `get` returned. express-session does not: it passes the object to `createSession`. */
  readonly isCopied: () => boolean
  readonly announce: Announce
  /** Called when a session has got an owner and was written. Rejects if nothing can tell whether its owner was logged out meanwhile. */
  readonly afterSignIn: (signIn: SignIn) => Promise<void>
  /** Returns whether all sessions of the owner, but for this one, were ended at some time. Such an end is remembered for a while. */
  readonly hasLoggedOut: (session: MovedSession) => Promise<boolean>
  /** Ends the session, and keeps its row until the moment given, in milliseconds since the epoch. */
  readonly bury: (storedId: string, until: number) => Promise<void>
  /** Identifies the caller's transaction, if the records are written in one. */
  readonly transaction: object | undefined
}
