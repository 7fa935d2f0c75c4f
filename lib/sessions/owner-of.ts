import type { SessionData } from 'express-session'
import { describeValue, Hidden, UnserializableSessionError } from '../errors'
import { nobody } from '../options/option-functions'
import type { Request, ResolvedOptions } from '../options/store-options'
import { checkedDetails, type SessionDetails } from '../record/details'
import type { KnownRevision } from '../record/known-revision'
import { textRefusal } from '../record/stored-id'
import { ignoreRejection } from '../runtime/ignore-rejection'

/** Returns the owner of the session as the column holds it. The column is text, so a number becomes text. Null if there is no owner. */
export function ownerOf({ owner }: ResolvedOptions, session: SessionData): string | null {
  const id: unknown = owner(session)
  if (id === null || id === undefined || id === '') return null
  if (typeof id !== 'string' && typeof id !== 'bigint' && !Number.isFinite(id)) {
    ignoreRejection(id)
    const given = typeof id === 'number' ? String(id) : describeValue(new Hidden(id))
    throw new UnserializableSessionError(
      `the option owner must return a string, a finite number, a bigint, null or undefined, got ${given}`
    )
  }
  const ownerId = String(id)
  const refusal = textRefusal(ownerId)
  if (refusal !== undefined) throw new UnserializableSessionError(`its owner id cannot be stored: ${refusal}`)
  return ownerId
}

/**
 * How a write changes the owner. `'sign-in'`: the session had no owner, or another owner, when it was loaded. `'adoption'`: the session had
 * this owner, but its row does not, because the row is older than the option `owner`.
 */
export type OwnerChange = 'none' | 'sign-in' | 'adoption'

export function ownerChangeOf(ownerId: string | null, known: KnownRevision | undefined): OwnerChange {
  if (ownerId !== null && ownerId !== known?.ownerId) return 'sign-in'
  return known?.hasOtherOwner ? 'adoption' : 'none'
}

/** Returns the details to store with a session that has an owner. The option `details` is called only when the session gets the owner. */
export function detailsFor(
  options: ResolvedOptions,
  session: SessionData,
  change: OwnerChange,
  known: KnownRevision | undefined
): SessionDetails | undefined {
  if (change === 'sign-in') return detailsOf(options, session)
  return known?.details ?? (change === 'adoption' ? detailsOf(options, session) : undefined)
}

/** Calls the option `details`. */
function detailsOf({ details }: ResolvedOptions, session: SessionData): SessionDetails | undefined {
  if (details === nobody) return undefined
  // Other clients than express-session do not put the request on the session.
  const { req } = session as { req?: Request }
  return checkedDetails(details(session, req))
}
