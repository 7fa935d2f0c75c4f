import { isKnownText, type KnownRevision } from '../record/known-revision'
import type { SessionRecord } from '../record/session-record'

/** What an update is to write to the row. */
export interface Version {
  readonly data: string
  readonly expiresAt: number
  readonly ownerId: string | null
  /** Names of the keys that another request changed too, to a different value. */
  readonly contested: readonly string[]
}

/** An update that has not been made yet. */
export interface PendingUpdate {
  readonly known: KnownRevision
  readonly version: Version
  /** The revision that the row must have for the update to be made. */
  readonly revision: number
  /** True if the row's revision was never told: then the text that was loaded stands for it. */
  readonly isRevisionUnknown: boolean
  /**
   * False if the row has to be read before the first update: the revision is unknown, or was learned in a transaction that may have been
   * rolled back. Afterwards only another write can have changed the row's revision.
   */
  readonly isCertain: boolean
  /** True if the row's expiry is to be exactly that of the version, even if the row's is later. */
  readonly isExpiryExact: boolean
}

/** What the row says of an update that is not made yet. */
export type Verdict =
  /** The session was destroyed or has expired. */
  | 'dead'
  /** The row still is as it was loaded: the update can be made at the row's revision. */
  | 'as-loaded'
  /** The row is as the update would leave it: an earlier try arrived, and only its result was lost. */
  | 'already-written'
  /** Another request changed the row: the conflict policy decides. */
  | 'changed'

/** Compares an update with the row as it is now. */
export function verdictOn(update: PendingUpdate, row: SessionRecord | null, now: number): Verdict {
  if (row === null || row.expiresAt <= now) return 'dead'
  const { known, version, revision } = update
  const isAtRevision = row.revision === revision || update.isRevisionUnknown
  if (!update.isCertain && isAtRevision && isKnownText(row.data, 'data', known)) return 'as-loaded'
  const hasExpiry = update.isExpiryExact ? row.expiresAt === version.expiresAt : row.expiresAt >= version.expiresAt
  const isWritten = row.revision === revision + 1 && row.data === version.data && hasExpiry
  // A conflict that was merged has to be announced, and nothing tells that it was.
  return isWritten && version.contested.length === 0 ? 'already-written' : 'changed'
}
