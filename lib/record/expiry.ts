import type { SessionData } from 'express-session'
import { describeValue, Hidden, InvalidOptionError } from '../errors'
import { ignoreRejection } from '../runtime/ignore-rejection'
import { EARLIEST_EXPIRY, LATEST_EXPIRY } from './expiry-columns'

/**
 * How long a session lives in the store if its cookie has no expiry: seconds, or a function of the session that returns seconds. The
 * function also gets sessions of visitors who are not signed in, so each property may be missing.
 */
export type TtlSeconds = number | ((session: Partial<SessionData>) => number)

/** How long sessions live. */
export interface Lifetimes {
  readonly ttlSeconds: TtlSeconds
  /** The maximum life of a session from its beginning, however often it is renewed. */
  readonly maxLifetimeSeconds: number
}

/**
 * When the session ends, in milliseconds since the epoch. If `ttlSeconds` is a function, it decides. Otherwise the expiry of the cookie
 * does. A browser-session cookie (`maxAge` null) has none: its session lives for `ttlSeconds` from now on. No session lives longer than
 * `maxLifetimeSeconds` from `createdAt`.
 */
export function expiryOf(session: SessionData, { ttlSeconds, maxLifetimeSeconds }: Lifetimes, now: number, createdAt: number): number {
  const expiry =
    typeof ttlSeconds === 'function' ? now + asked(ttlSeconds, session) * 1000 : (cookieExpiry(session, now) ?? now + ttlSeconds * 1000)
  return inRange(Math.min(expiry, createdAt + maxLifetimeSeconds * 1000))
}

/** Refuses what is not a number: it would become an expiry in the past and log everybody out. */
function asked(ttlSeconds: (session: Partial<SessionData>) => number, session: SessionData): number {
  const seconds = ttlSeconds(session)
  if (typeof seconds === 'number' && !Number.isNaN(seconds)) return seconds
  ignoreRejection(seconds)
  const given = typeof seconds === 'number' ? seconds : new Hidden(seconds)
  throw new InvalidOptionError('ttlSeconds', 'a function that returns a number of seconds', given)
}

/** The expiry of the cookie itself, or undefined if it has none or an invalid one. */
function cookieExpiry({ cookie }: SessionData, now: number): number | undefined {
  const { expires, maxAge } = cookie as { expires?: unknown; maxAge?: unknown }
  if (!hasExpiry(cookie)) return undefined
  if (expires === null || expires === undefined) return now + (maxAge as number)
  const moment = expires instanceof Date ? expires.getTime() : new Date(expires as string | number).getTime()
  return Number.isNaN(moment) ? undefined : moment
}

/** False for a browser-session cookie. A cookie written by hand may have a `maxAge` alone. */
export function hasExpiry(cookie: object): boolean {
  const { expires, maxAge } = cookie as { expires?: unknown; maxAge?: unknown }
  if (expires === null || expires === undefined) return typeof maxAge === 'number'
  return typeof expires !== 'boolean'
}

/**
 * Returns why a session with this cookie could not be loaded again, or would end at a moment that nobody meant; undefined for a proper
 * cookie. express-session throws at a `maxAge` that is no number. A falsy `maxAge`, as `expires: false` makes it, means a browser session.
 */
export function cookieRefusal(cookie: object): string | undefined {
  const { expires, maxAge, originalMaxAge } = cookie as Partial<Record<'expires' | 'maxAge' | 'originalMaxAge', unknown>>
  if (isNoLife(maxAge)) return `its cookie's maxAge must be a number of milliseconds or null, got ${describeValue(new Hidden(maxAge))}`
  if (isNoLife(originalMaxAge)) {
    return `its cookie's originalMaxAge must be a number of milliseconds or null, got ${describeValue(new Hidden(originalMaxAge))}`
  }
  if (isMoment(expires)) return undefined
  return `its cookie's expires must be a Date, the text of one, a number of milliseconds since the epoch, null or false, got ${
    expires instanceof Date ? 'an invalid Date' : describeValue(new Hidden(expires))
  }`
}

/** True for a `maxAge` at which express-session would throw. */
export function isNoLife(maxAge: unknown): boolean {
  return Number.isNaN(maxAge) || (Boolean(maxAge) && typeof maxAge !== 'number')
}

function isMoment(expires: unknown): boolean {
  if (expires === null || expires === undefined || expires === false) return true
  if (expires instanceof Date) return !Number.isNaN(expires.getTime())
  if (typeof expires !== 'string' && typeof expires !== 'number' && typeof expires !== 'object') return false
  try {
    return !Number.isNaN(new Date(expires as string | number).getTime())
  } catch {
    // An object that cannot be converted to a value.
    return false
  }
}

/**
 * A touch is skipped if it would extend the expiry by less than this many milliseconds. Default: a hundredth of the life, at most a minute;
 * 0 for lives under ten minutes.
 */
export function touchThreshold(touchAfterMs: number | undefined, lifeMs: number): number {
  if (touchAfterMs !== undefined) return touchAfterMs
  return lifeMs < 600_000 ? 0 : Math.min(lifeMs / 100, 60_000)
}

/** Moves the moment into the range of the columns. A session that ended in 1970 has expired; it was not destroyed, so it is not 0. */
function inRange(moment: number): number {
  if (Number.isNaN(moment)) return EARLIEST_EXPIRY
  return Math.min(Math.max(Math.round(moment), EARLIEST_EXPIRY), LATEST_EXPIRY)
}
