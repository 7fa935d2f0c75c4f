import type { SessionData } from 'express-session'
import { InvalidSessionIdError, UnreadableSessionError, UnserializableSessionError } from '../errors'
import type { ResolvedOptions } from '../options/store-options'
import { asSession, encode } from '../record/codec'
import { putDetails } from '../record/details'
import type { RecordToPut } from '../record/session-record'
import { toStorable } from '../record/storable'
import { storedIdOf } from '../record/stored-id'
import { ownerOf } from '../sessions/owner-of'
import type { ForeignRow } from './source-table'

/** Converts a row of another store to a row of this store. Returns undefined if the row holds no session that can be stored. */
export async function toRecordToPut(
  { id, data, expiresAt = 0 }: ForeignRow,
  options: ResolvedOptions,
  now: number
): Promise<RecordToPut | undefined> {
  if (id === undefined) return undefined
  try {
    const session = asSession(parsed(data))
    const storedId = storedIdOf(id, options)
    const storable = toStorable(session)
    putDetails(storable, undefined)
    const encoded = await encode(options.codec, storable, storedId)
    return { id: storedId, data: encoded.data, expiresAt, ownerId: ownerOf(options, session), createdAt: lastSeen(session, expiresAt, now) }
  } catch (error) {
    if (NO_SESSION.some((Class) => error instanceof Class)) return undefined
    throw error
  }
}

/** In a column of the type json, the value may be a string that holds JSON itself. The other stores parse such a string again. */
function parsed(data: string): unknown {
  const value: unknown = JSON.parse(data)
  return typeof value === 'string' ? JSON.parse(value) : value
}

const NO_SESSION = [SyntaxError, UnreadableSessionError, UnserializableSessionError, InvalidSessionIdError]

/**
 * Returns when the session was last seen, which counts as its beginning here: the other stores do not keep when a session began. The cookie
 * got its `maxAge` at that moment, so the moment is the expiry minus `maxAge`.
 */
function lastSeen({ cookie }: SessionData, expiresAt: number, now: number): number {
  const { originalMaxAge } = cookie
  return typeof originalMaxAge === 'number' ? Math.min(now, Math.max(0, expiresAt - originalMaxAge)) : now
}
