import type { SessionData } from 'express-session'
import { describeValue, Hidden, UnserializableSessionError } from '../errors'
import { cookieRefusal, hasExpiry } from './expiry'

/** express-session rounds the remaining life again at each touch, so `originalMaxAge` drifts by a millisecond now and then. */
const DRIFT_MS = 1000

/** A cookie's `originalMaxAge`, in milliseconds; null for a browser session. */
export type MaxAge = number | null | undefined

/**
 * Returns what is encoded of a session: its own properties in their order, and its cookie without the expiry. The expiry is a column of
 * the row, so a touch can change it alone. `expires: null` means that the cookie has no expiry. So two requests that change nothing
 * encode the same text.
 */
export function toStorable(session: SessionData, loaded?: { readonly maxAge: MaxAge }): SessionData {
  if (typeof session !== 'object' || session === null) {
    throw new UnserializableSessionError(`a session must be an object with a cookie, got ${describeValue(new Hidden(session))}`)
  }
  const storable = ownProperties(session) as Partial<SessionData>
  const cookie = ownProperties(cookieOf(storable))
  requireLife(cookie)
  cookie.expires = hasExpiry(cookie) ? undefined : null
  // @fastify/session stores the loaded expiry here and never reads it.
  if (cookie.originalExpires !== undefined) cookie.originalExpires = undefined
  if (loaded !== undefined && !maxAgeChanged(cookie.originalMaxAge, loaded.maxAge)) cookie.originalMaxAge = loaded.maxAge
  return Object.assign(storable, { cookie }) as unknown as SessionData
}

/** Throws {@link UnserializableSessionError} if the cookie, as JSON would write it, has an invalid life. */
export function requireLife(cookie: object): void {
  const refusal = cookieRefusal(cookie)
  if (refusal !== undefined) throw new UnserializableSessionError(refusal)
}

/** Returns the cookie of the session. Throws {@link UnserializableSessionError} if there is none. */
export function cookieOf(session: Partial<SessionData> | null | undefined): { readonly originalMaxAge?: MaxAge } {
  const cookie = session?.cookie
  if (typeof cookie === 'object' && cookie !== null && !Array.isArray(cookie)) return cookie
  throw new UnserializableSessionError('it has no cookie object; express-session and similar packages need session.cookie to load it again')
}

/** Puts the row's expiry back where {@link toStorable} took it out. */
export function withExpiry(session: SessionData, expiresAt: number): SessionData {
  const cookie = session.cookie as { expires?: unknown }
  cookie.expires = cookie.expires === null || cookie.expires === false ? null : isoOf(expiresAt)
  return session
}

/** True if the application has changed the `maxAge` of the cookie since it was loaded. */
export function maxAgeChanged(now: unknown, loaded: MaxAge): boolean {
  if (typeof now === 'number' && typeof loaded === 'number') return Math.abs(now - loaded) > DRIFT_MS
  return (now ?? null) !== (loaded ?? null)
}

/** A copy of the properties that JSON would write. A key named `__proto__` stays a key. */
function ownProperties(value: object): Record<string, unknown> {
  try {
    return { ...jsonOf(value) }
  } catch {
    throw unreadable()
  }
}

/** The object, or what its `toJSON` returns: express-session's cookie has getters that JSON does not write. */
export function asJson(value: object): object {
  try {
    return jsonOf(value)
  } catch {
    throw unreadable()
  }
}

function jsonOf(value: object): object {
  const { toJSON } = value as { toJSON?: unknown }
  return typeof toJSON === 'function' ? toJSON.call(value) : value
}

/** The error of a toJSON or a getter may show the session, so it is not kept as the `cause`. */
function unreadable(): UnserializableSessionError {
  return new UnserializableSessionError(
    'the codec, or a toJSON or getter in the session, threw an error; find out which one (its error is left out, because it may show the session)'
  )
}

const DAY_MS = 86_400_000
const TWO_DIGITS = Array.from({ length: 60 }, (_, number) => String(number).padStart(2, '0'))
let knownDay = Number.NaN
let knownDate = ''

/**
 * The moment as `Date.toISOString` writes it, at a fifth of the cost: sessions expire on few different days, so the date of the last day
 * is kept.
 */
export function isoOf(moment: number): string {
  const day = Math.floor(moment / DAY_MS)
  if (day !== knownDay) {
    knownDate = new Date(day * DAY_MS).toISOString().slice(0, -13)
    knownDay = day
  }
  const ms = moment - day * DAY_MS
  const [hours, minutes, seconds] = [(ms / 3_600_000) | 0, ((ms / 60_000) | 0) % 60, ((ms / 1000) | 0) % 60]
  return `${knownDate}${TWO_DIGITS[hours]}:${TWO_DIGITS[minutes]}:${TWO_DIGITS[seconds]}.${String(1000 + (ms % 1000)).slice(1)}Z`
}
