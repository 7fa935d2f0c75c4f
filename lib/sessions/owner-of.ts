import type { SessionData } from 'express-session'
import { UnserializableSessionError } from '../errors'
import type { ResolvedOptions } from '../options'
import { textRefusal } from '../record/stored-id'

/** Whose session it is, as the owner column holds it; null if it is nobody's. */
export function ownerOf({ owner }: ResolvedOptions, session: SessionData): string | null {
  const id = owner(session)
  if (id === null || id === undefined || id === '') return null
  const ownerId = String(id)
  const refusal = textRefusal(ownerId)
  if (refusal !== undefined) throw new UnserializableSessionError(`its owner id cannot be stored: ${refusal}`)
  return ownerId
}
