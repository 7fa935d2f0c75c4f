import { Cookie, type SessionData } from 'express-session'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { UnserializableSessionError } from '../../lib/errors'
import { cookieOf, isoOf, maxAgeChanged, toStorable, withExpiry } from '../../lib/record/storable'

const hour = 3_600_000
const make = (cookie: object, data: object = {}) => ({ cookie, ...data }) as unknown as SessionData
const text = (session: SessionData) => JSON.stringify(toStorable(session))
const CookieOf = Cookie as unknown as new (options: object) => Cookie

describe('what is stored of a session', () => {
  it('has all but the moment of expiry, which is in the row', () => {
    const cookie = new CookieOf({ maxAge: hour, path: '/shop', secure: true })
    // The cookie takes it from the clock, which may have gone on by a millisecond.
    cookie.originalMaxAge = hour
    const session = make(cookie, { user: 'ada', at: new Date(0) })
    expect(JSON.parse(text(session))).toEqual({
      cookie: { originalMaxAge: hour, path: '/shop', secure: true, httpOnly: true },
      user: 'ada',
      at: '1970-01-01T00:00:00.000Z'
    })
  })

  it('is the same text for two requests that changed nothing', () => {
    const at = (expires: Date) => text(make({ originalMaxAge: hour, expires }, { user: 'ada' }))
    expect(at(new Date(1))).toBe(at(new Date(2)))
  })

  it('says that a browser session has no expiry', () => {
    expect(text(make({ originalMaxAge: null, expires: null }))).toBe('{"cookie":{"originalMaxAge":null,"expires":null}}')
    expect(text(make({ expires: false }))).toBe('{"cookie":{"expires":null}}')
  })

  it('keeps the order of the keys', () => {
    expect(Object.keys(JSON.parse(text({ b: 1, cookie: {}, a: 2 } as unknown as SessionData)))).toEqual(['b', 'cookie', 'a'])
  })

  it('keeps a key named __proto__ a key, and changes no prototype', () => {
    const session = JSON.parse('{"cookie":{},"__proto__":{"admin":true}}') as SessionData
    const storable = toStorable(session) as unknown as { admin?: boolean }
    expect(storable.admin).toBeUndefined()
    expect(JSON.stringify(storable)).toBe('{"cookie":{"expires":null},"__proto__":{"admin":true}}')
  })

  it('leaves the session as it is', () => {
    const session = make({ originalMaxAge: hour, expires: new Date(1) }, { user: 'ada' })
    const before = structuredClone(session)
    toStorable(session, { maxAge: hour + 1 })
    expect(session).toEqual(before)
  })

  it('has the originalMaxAge that was loaded where that has only drifted', () => {
    const session = make({ originalMaxAge: hour - 3, expires: new Date(1) })
    expect(toStorable(session, { maxAge: hour }).cookie.originalMaxAge).toBe(hour)
    expect(toStorable(session, { maxAge: 2 * hour }).cookie.originalMaxAge).toBe(hour - 3)
  })

  it('is what its toJSON gives', () => {
    const session = { toJSON: () => ({ cookie: { toJSON: () => ({ path: '/' }) }, user: 'ada' }) }
    expect(text(session as unknown as SessionData)).toBe('{"cookie":{"path":"/","expires":null},"user":"ada"}')
  })

  it.each([
    ['null', null, 'a session must be an object with a cookie, got null'],
    ['undefined', undefined, 'a session must be an object with a cookie, got undefined'],
    ['a text', 'the secret', 'a session must be an object with a cookie, got a string'],
    ['no cookie', { user: 'ada' }, 'it has no cookie object; express-session and similar packages need session.cookie to load it again'],
    [
      'a cookie that is a text',
      { cookie: 'a=b' },
      'it has no cookie object; express-session and similar packages need session.cookie to load it again'
    ],
    [
      'a toJSON that gives nothing',
      { cookie: {}, toJSON: () => null },
      'it has no cookie object; express-session and similar packages need session.cookie to load it again'
    ],
    [
      'a toJSON that throws',
      {
        cookie: {},
        toJSON() {
          throw new TypeError('the secret')
        }
      },
      'the codec, or a toJSON or getter in the session, threw an error; find out which one (its error is left out, because it may show the session)'
    ],
    [
      'a getter that throws',
      {
        cookie: {},
        get user() {
          throw new TypeError('the secret')
        }
      },
      'the codec, or a toJSON or getter in the session, threw an error; find out which one (its error is left out, because it may show the session)'
    ]
  ])('is nothing, but one clear error: %s', (_what, session, why) => {
    expect(() => toStorable(session as unknown as SessionData)).toThrow(new UnserializableSessionError(why))
  })
})

it('a session without a cookie object has none to touch', () => {
  expect(cookieOf(make({ path: '/' }))).toEqual({ path: '/' })
  for (const session of [null, undefined, {}, { cookie: null }, { cookie: 5 }]) {
    expect(() => cookieOf(session as unknown as SessionData)).toThrow(UnserializableSessionError)
  }
})

describe('the expiry of the row', () => {
  it('is put back into the cookie as a string', () => {
    expect(withExpiry(make({ originalMaxAge: hour }), 1000).cookie.expires).toBe('1970-01-01T00:00:01.000Z')
  })

  it('is not put into the cookie of a browser session', () => {
    expect(withExpiry(make({ expires: null }), 1000).cookie.expires).toBeNull()
  })
})

it.each([
  [hour, hour, false],
  [hour - 999, hour, false],
  [hour - 1001, hour, true],
  [2 * hour, hour, true],
  [null, null, false],
  [undefined, null, false],
  [null, hour, true],
  [hour, undefined, true]
])('a maxAge of %s after %s was loaded is a change: %s', (now, loaded, changed) => {
  expect(maxAgeChanged(now, loaded)).toBe(changed)
})

describe('a moment as text', () => {
  it('is what Date writes, for every moment that a session can end at', () => {
    const moment = fc.oneof(fc.integer({ min: 1, max: 4_102_444_800_000 }), fc.integer({ min: 1, max: 7_730_941_129_200_000 }))
    fc.assert(
      fc.property(moment, (at) => {
        expect(isoOf(at)).toBe(new Date(at).toISOString())
      }),
      { numRuns: 2000, examples: [[86_399_999], [86_400_000], [999], [253_402_300_799_999], [253_402_300_800_000]] }
    )
  })
})
