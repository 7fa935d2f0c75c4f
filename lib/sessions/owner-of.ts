import type { SessionData } from 'express-session'
import { describeValue, Hidden, UnserializableSessionError } from '../errors'
import type { ResolvedOptions } from '../options/store-options'
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
