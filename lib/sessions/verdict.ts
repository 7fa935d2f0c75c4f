import { isKnownText, type KnownRevision } from '../record/known-revision'
import type { SessionRecord } from '../record/session-record'

/** What an update writes to the row. */
export interface Version {
  readonly data: string
  readonly expiresAt: number
  readonly ownerId: string | null
  /** The keys that another request changed too, to a different value. */
  readonly contested: readonly string[]
}

/** An update that has not been written yet. */
export interface PendingUpdate {
  readonly known: KnownRevision
  readonly version: Version
  /** The update succeeds only if the row has this revision. */
  readonly revision: number
  /** True if the database did not return the row's revision. Then the row counts as unchanged if it still has the text that was loaded. */
  readonly isRevisionUnknown: boolean
  /**
   * False if the row must be read before the first update: its revision is unknown, or comes from a transaction that may have been rolled
   * back. After the read it is true: then only another write can change the revision.
   */
  readonly isCertain: boolean
  /** True if the row gets exactly the expiry of the version, even if the row's own is later. */
  readonly isExpiryExact: boolean
}

/** What the stored row means for an update that has not been written yet. */
export type Verdict =
  /** The session was destroyed or has expired. */
  | 'dead'
  /** The row is unchanged since it was loaded: the update can be written at the row's revision. */
  | 'as-loaded'
  /** The row already is what the update would make it: an earlier try succeeded, and only its result was lost. */
  | 'already-written'
  /** Another request has changed the row: the conflict policy decides. */
  | 'changed'

/** Compares an update with the stored row. */
export function verdictOn(update: PendingUpdate, row: SessionRecord | null, now: number): Verdict {
  if (row === null || row.expiresAt <= now) return 'dead'
  const { known, version, revision } = update
  const isAtRevision = row.revision === revision || update.isRevisionUnknown
  if (!update.isCertain && isAtRevision && isKnownText(row.data, 'data', known)) return 'as-loaded'
  const hasExpiry = update.isExpiryExact ? row.expiresAt === version.expiresAt : row.expiresAt >= version.expiresAt
  const isWritten = row.revision === revision + 1 && row.data === version.data && hasExpiry
  // After a merge with a conflict, nothing tells whether the conflict was announced. So it counts as changed and is merged again.
  return isWritten && version.contested.length === 0 ? 'already-written' : 'changed'
}
