import type { SessionData } from 'express-session'
import { describeValue, Hidden, UnserializableSessionError } from '../errors'
import { nobody } from '../options/option-functions'
import type { Request, ResolvedOptions } from '../options/store-options'
import { checkedDetails, type SessionDetails } from '../record/details'
import type { KnownRevision } from '../record/known-revision'
import { textRefusal } from '../record/stored-id'
import { ignoreRejection } from '../runtime/ignore-rejection'

/** The owner of the session as the column holds it: text, also for a number; null if there is no owner. */
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
 * How a write changes the owner. `'sign-in'` if the session had no owner when it was loaded, or another one. `'adoption'` if it had this one,
 * but its row has not, as a row from before the option.
 */
export type OwnerChange = 'none' | 'sign-in' | 'adoption'

export function ownerChangeOf(ownerId: string | null, known: KnownRevision | undefined): OwnerChange {
  if (ownerId !== null && ownerId !== known?.ownerId) return 'sign-in'
  return known?.hasOtherOwner ? 'adoption' : 'none'
}

/** The details that a session with an owner is stored with; undefined if there are none. They are asked for when it gets the owner. */
export function detailsFor(
  options: ResolvedOptions,
  session: SessionData,
  change: OwnerChange,
  known: KnownRevision | undefined
): SessionDetails | undefined {
  if (change === 'sign-in') return detailsOf(options, session)
  return known?.details ?? (change === 'adoption' ? detailsOf(options, session) : undefined)
}

/** What the application wants to show of a session. */
function detailsOf({ details }: ResolvedOptions, session: SessionData): SessionDetails | undefined {
  if (details === nobody) return undefined
  // Only express-session puts the request on the session.
  const { req } = session as { req?: Request }
  return checkedDetails(details(session, req))
}
