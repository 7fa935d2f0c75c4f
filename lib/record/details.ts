import type { SessionData } from 'express-session'
import { describeValue, Hidden, UnserializableSessionError } from '../errors'
import { ignoreRejection } from '../runtime/ignore-rejection'

/**
 * The key of the details in the stored session. They are stored with the session so that a codec encrypts them too. The application never
 * sees the key: it is taken out when a session is loaded.
 */
export const DETAILS = '@details'

/** What an application wants to show of a session, such as the device that it was begun on. */
export type SessionDetails = Readonly<Record<string, string | number | boolean | null>>

const MAX_DETAILS = 16
/** In UTF-16 code units. A text such as a user agent comes from the client, so a longer one is cut, not refused. */
const MAX_TEXT = 256
const ALLOWED = `the option details must return an object of at most ${MAX_DETAILS} strings, numbers, true, false or null`

/** Returns the details in a decoded session. */
export function detailsIn(session: SessionData): SessionDetails | undefined {
  return (session as { [DETAILS]?: SessionDetails })[DETAILS]
}

/** Takes the details out of a decoded session, and returns them. */
export function takeDetails(session: SessionData): SessionDetails | undefined {
  const details = detailsIn(session)
  if (details !== undefined) delete (session as { [DETAILS]?: SessionDetails })[DETAILS]
  return details
}

/**
 * Puts the details into a session that is about to be encoded. They come last, so that a session which was not changed is encoded as the
 * same text.
 */
export function putDetails(storable: SessionData, details: SessionDetails | undefined): void {
  if (DETAILS in storable) throw new UnserializableSessionError(`its key "${DETAILS}" is kept for the option details; choose another name`)
  if (details !== undefined) Object.assign(storable, { [DETAILS]: details })
}

/** Checks and cuts what the application's function returned. Undefined if it returned nothing. */
export function checkedDetails(given: unknown): SessionDetails | undefined {
  if (given === null || given === undefined) return undefined
  if (typeof given !== 'object' || Array.isArray(given) || typeof (given as { then?: unknown }).then === 'function') {
    ignoreRejection(given)
    const kind = typeof (given as { then?: unknown }).then === 'function' ? 'a promise' : describeValue(new Hidden(given))
    throw new UnserializableSessionError(`${ALLOWED}, got ${kind}`)
  }
  const entries = Object.entries(given).filter(([, value]) => value !== undefined)
  if (entries.length > MAX_DETAILS) throw new UnserializableSessionError(`${ALLOWED}, got ${entries.length} of them`)
  return Object.fromEntries(entries.map(([name, value]) => [name, checkedValue(name, value)]))
}

function checkedValue(name: string, value: unknown): string | number | boolean | null {
  if (typeof value === 'string') return value.length > MAX_TEXT ? cut(value) : value
  if (value === null || typeof value === 'boolean' || Number.isFinite(value)) return value as number | boolean | null
  const kind = typeof value === 'number' ? String(value) : describeValue(new Hidden(value))
  throw new UnserializableSessionError(`${ALLOWED}, got ${kind} in ${JSON.stringify(name.slice(0, MAX_TEXT))}`)
}

/** Cuts a long text, at no half of a surrogate pair. */
function cut(text: string): string {
  const short = text.slice(0, MAX_TEXT)
  return short.isWellFormed() ? short : short.slice(0, -1)
}
