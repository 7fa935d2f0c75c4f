import type { SessionData } from 'express-session'
import { describeValue, Hidden, UnserializableSessionError } from '../errors'
import { cookieRefusal, hasExpiry } from './expiry'

/** express-session rounds the remaining life again at each touch, so `originalMaxAge` drifts by a millisecond now and then. */
const DRIFT_MS = 1000

/** A cookie's `originalMaxAge`, in milliseconds; null for a browser session. */
export type MaxAge = number | null | undefined

/**
 * The session as it is encoded: its own properties in their order, and its cookie without the moment of expiry. That moment is in the row,
 * where a touch can move it alone. `expires: null` says that the cookie has none. So two requests that changed nothing encode the same
 * text.
 */
export function toStorable(session: SessionData, loaded?: { readonly maxAge: MaxAge }): SessionData {
  if (typeof session !== 'object' || session === null) {
    throw new UnserializableSessionError(`a session must be an object with a cookie, got ${describeValue(new Hidden(session))}`)
  }
  const storable = ownProperties(session) as Partial<SessionData>
  const cookie = ownProperties(cookieOf(storable))
  requireLife(cookie)
  cookie.expires = hasExpiry(cookie) ? undefined : null
  // @fastify/session notes here which moment it had loaded, and never reads it.
  if (cookie.originalExpires !== undefined) cookie.originalExpires = undefined
  if (loaded !== undefined && !maxAgeChanged(cookie.originalMaxAge, loaded.maxAge)) cookie.originalMaxAge = loaded.maxAge
  return Object.assign(storable, { cookie }) as unknown as SessionData
}

/** Throws {@link UnserializableSessionError} where the cookie, as JSON sees it, does not say properly how long it lives. */
export function requireLife(cookie: object): void {
  const refusal = cookieRefusal(cookie)
  if (refusal !== undefined) throw new UnserializableSessionError(refusal)
}

/** Returns the cookie of the session. Throws {@link UnserializableSessionError} if there is none. */
export function cookieOf(session: Partial<SessionData> | null | undefined): { readonly originalMaxAge?: MaxAge } {
  const cookie = session?.cookie
  if (typeof cookie === 'object' && cookie !== null && !Array.isArray(cookie)) return cookie
  throw new UnserializableSessionError('it has no cookie object, which express-session and its relatives need to load it again')
}

/** Puts the row's expiry back where {@link toStorable} took it out. */
export function withExpiry(session: SessionData, expiresAt: number): SessionData {
  const cookie = session.cookie as { expires?: unknown }
  cookie.expires = cookie.expires === null || cookie.expires === false ? null : isoOf(expiresAt)
  return session
}

/** True if the application gave the cookie another life than it was loaded with. */
export function maxAgeChanged(now: unknown, loaded: MaxAge): boolean {
  if (typeof now === 'number' && typeof loaded === 'number') return Math.abs(now - loaded) > DRIFT_MS
  return (now ?? null) !== (loaded ?? null)
}

/** A copy of what JSON would see of the object itself. A key named `__proto__` stays a key. */
function ownProperties(value: object): Record<string, unknown> {
  try {
    return { ...jsonOf(value) }
  } catch {
    throw unreadable()
  }
}

/** The object, or what its `toJSON` makes of it: express-session's cookie has getters that JSON does not see. */
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

/** The error of a toJSON or a getter may show the session, so it is no cause. */
function unreadable(): UnserializableSessionError {
  return new UnserializableSessionError('its codec or a toJSON in it threw')
}

const DAY_MS = 86_400_000
const TWO_DIGITS = Array.from({ length: 60 }, (_, number) => String(number).padStart(2, '0'))
let knownDay = Number.NaN
let knownDate = ''

/**
 * The moment as `Date.toISOString` writes it, at a fifth of the cost: the expiries of sessions are on few days, and which date that is need
 * not be found out for each of them again.
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
