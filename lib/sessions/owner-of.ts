import type { SessionData } from 'express-session'
import type { ResolvedOptions } from '../options'

/** Whose session it is, as the owner column holds it; null if it is nobody's. */
export function ownerOf({ owner }: ResolvedOptions, session: SessionData): string | null {
  const id = owner(session)
  return id === null || id === undefined || id === '' ? null : String(id)
}
