import type { CookieOptions, SessionData } from 'express-session'
import { Cookie } from 'express-session'

/** What a browser session, kept until the browser closes, has in place of an expiry. */
export type Expires = Date | string | null | false | undefined

/** A session as express-session hands it to a store: data, and a real `Cookie`. Lives a minute if not said otherwise. */
export function sessionWith(data: object = {}, cookie: CookieOptions = { maxAge: 60_000 }): SessionData {
  // The published types leave out the parameter that the constructor has.
  const CookieOf = Cookie as unknown as new (options: CookieOptions) => Cookie
  return { cookie: new CookieOf(cookie), ...data } as SessionData
}

/** A session that expires so soon that a spec can wait for it. */
export function shortLived(data: object = {}): SessionData {
  return sessionWith(data, { maxAge: 400 })
}

/** A session that expired a minute ago. */
export function expired(data: object = {}): SessionData {
  return sessionWith(data, { expires: new Date(Date.now() - 60_000) })
}

/** The data alone, as JSON sees it. The cookie has specs of its own. */
export function dataOf(session: SessionData): Record<string, unknown> {
  const { cookie: _cookie, ...data } = JSON.parse(JSON.stringify(session)) as SessionData
  return data as Record<string, unknown>
}

/** When the session expires, in milliseconds since the epoch, or null for never. A store may keep the expiry as a Date or as a string. */
export function expiryOf(session: SessionData): number | null {
  const expires = session.cookie.expires as Expires
  return expires ? new Date(expires).getTime() : null
}
