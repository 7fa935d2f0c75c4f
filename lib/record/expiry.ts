import type { SessionData } from 'express-session'
import { Hidden, InvalidOptionError } from '../errors'

/** The last moment that fits the column of hours, a 32-bit integer, and JavaScript's Date: in the year 246953. */
const LAST_MOMENT = 2_147_483_647 * 3_600_000

/** How long a session lives in the store where its cookie does not say: seconds, or a function of the session. */
export type TtlSeconds = number | ((session: SessionData) => number)

/** How long sessions live. */
export interface Lifetimes {
  readonly ttlSeconds: TtlSeconds
  /** From the beginning of the session, whatever renews it. */
  readonly maxLifetimeSeconds: number
}

/**
 * When the session ends, in milliseconds since the epoch. A cookie with an expiry decides, except over a ttl given as a function;
 * a browser-session cookie (`maxAge` null) lives for the ttl, from now on. `createdAt` bounds its whole life.
 */
export function expiryOf(session: SessionData, { ttlSeconds, maxLifetimeSeconds }: Lifetimes, now: number, createdAt: number): number {
  const expiry =
    typeof ttlSeconds === 'function' ? now + asked(ttlSeconds, session) * 1000 : (cookieExpiry(session, now) ?? now + ttlSeconds * 1000)
  return inRange(Math.min(expiry, createdAt + maxLifetimeSeconds * 1000))
}

/** Not a number would be an expiry in the past, and log everybody out. */
function asked(ttlSeconds: (session: SessionData) => number, session: SessionData): number {
  const seconds = ttlSeconds(session)
  if (typeof seconds === 'number' && !Number.isNaN(seconds)) return seconds
  const given = typeof seconds === 'number' ? seconds : new Hidden(seconds)
  throw new InvalidOptionError('ttlSeconds', 'a function that returns a number of seconds', given)
}

/** The cookie's own expiry, or undefined if it has none that can be read as a moment. */
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

/** By how much a touch must move the expiry to be worth a statement: by default a hundredth of the life, at most a minute; for short lives, any. */
export function touchThreshold(touchAfterMs: number | undefined, lifeMs: number): number {
  if (touchAfterMs !== undefined) return touchAfterMs
  return lifeMs < 600_000 ? 0 : Math.min(lifeMs / 100, 60_000)
}

/** Never 0, which marks a destroyed session, and never more than the columns hold. */
function inRange(moment: number): number {
  if (Number.isNaN(moment)) return 1
  return Math.min(Math.max(Math.round(moment), 1), LAST_MOMENT)
}
