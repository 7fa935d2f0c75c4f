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

/** Returns the row of this store for a session of another one, or undefined if it holds no session that can be stored. */
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

/** In a column of the type json, the session may be a text in JSON. The other stores parse what the driver has parsed, if it is a text. */
function parsed(data: string): unknown {
  const value: unknown = JSON.parse(data)
  return typeof value === 'string' ? JSON.parse(value) : value
}

const NO_SESSION = [SyntaxError, UnreadableSessionError, UnserializableSessionError, InvalidSessionIdError]

/** The other stores do not keep when a session began. It was seen when its cookie got its life, which ends at the expiry. */
function lastSeen({ cookie }: SessionData, expiresAt: number, now: number): number {
  const { originalMaxAge } = cookie
  return typeof originalMaxAge === 'number' ? Math.min(now, Math.max(0, expiresAt - originalMaxAge)) : now
}
