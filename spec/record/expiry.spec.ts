import type { SessionData } from 'express-session'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InvalidOptionError } from '../../lib/errors'
import { expiryOf, hasExpiry, type TtlSeconds, touchThreshold } from '../../lib/record/expiry'

const NOW = Date.UTC(2024, 1, 29, 12)
const DAY = 86_400_000

function expiry(cookie: object, ttlSeconds: TtlSeconds = 3600, maxLifetimeSeconds = Number.POSITIVE_INFINITY, createdAt = NOW): number {
  return expiryOf({ cookie } as SessionData, { ttlSeconds, maxLifetimeSeconds }, NOW, createdAt)
}

describe('the expiry of a session', () => {
  it.each([
    ['a Date', new Date(NOW + 300), NOW + 300],
    ['a string', new Date(NOW + DAY).toISOString(), NOW + DAY],
    ['a string with an offset', '2024-03-01T14:00:00.001+02:00', Date.UTC(2024, 2, 1, 12, 0, 0, 1)],
    ['a number', NOW + 5, NOW + 5],
    ['in the past', new Date(NOW - DAY), NOW - DAY],
    ['in the year 9999', new Date('9999-12-31T23:59:59.999Z'), Date.UTC(9999, 11, 31, 23, 59, 59, 999)]
  ])('is that of its cookie: %s', (_what, expires, expected) => {
    expect(expiry({ expires })).toBe(expected)
  })

  it.each([
    ['null', { expires: null, maxAge: null }],
    ['not there', {}],
    ['false', { expires: false }],
    ['true', { expires: true }],
    ['no moment', { expires: 'tomorrow, perhaps' }],
    ['an invalid Date', { expires: new Date(Number.NaN) }]
  ])('is the ttl from now where the expiry of the cookie is %s', (_what, cookie) => {
    expect(expiry(cookie)).toBe(NOW + 3_600_000)
  })

  it('is maxAge from now where a cookie written by hand has that alone', () => {
    expect(expiry({ maxAge: 300 })).toBe(NOW + 300)
  })

  it('is what a ttl given as a function says, over the cookie too', () => {
    const ttlSeconds = (session: Partial<SessionData>) => (session.cookie?.secure ? 10 : 20)
    expect(expiry({ secure: true, expires: new Date(NOW + DAY) }, ttlSeconds)).toBe(NOW + 10_000)
    expect(expiry({ maxAge: DAY }, ttlSeconds)).toBe(NOW + 20_000)
  })

  it('may be at once, if the ttl function says so', () => {
    expect(expiry({}, () => 0)).toBe(NOW)
    expect(expiry({}, () => -5)).toBe(NOW - 5000)
  })

  it.each([
    [undefined, 'undefined'],
    [Number.NaN, 'NaN (number)'],
    ['3600', 'a string'],
    [null, 'null']
  ])('is no moment where the ttl function gives %s, which is an error and no logout', (given, shown) => {
    expect(() => expiry({}, (() => given) as unknown as TtlSeconds)).toThrow(InvalidOptionError)
    expect(() => expiry({}, (() => given) as unknown as TtlSeconds)).toThrow(
      `ttlSeconds must be a function that returns a number of seconds, got ${shown}`
    )
  })

  it('is never later than the whole life allows', () => {
    expect(expiry({ expires: new Date(NOW + DAY) }, 3600, 7200, NOW - 3_600_000)).toBe(NOW + 3_600_000)
    expect(expiry({}, () => 10_000, 7200)).toBe(NOW + 7_200_000)
  })

  it('is never 0, which marks a destroyed session, and always fits its columns', () => {
    const moment = fc.oneof(fc.double({ noNaN: true }), fc.constantFrom(0, -0.4, 8.64e15, -8.64e15, 1e300))
    fc.assert(
      fc.property(moment, (at) => {
        const expiresAt = expiry({ expires: at })
        expect(Number.isSafeInteger(expiresAt)).toBe(true)
        expect(expiresAt).not.toBe(0)
        expect(Math.ceil(expiresAt / 3_600_000)).toBeLessThanOrEqual(2_147_483_647)
        expect(Math.ceil(expiresAt / 3_600_000)).toBeGreaterThanOrEqual(-2_147_483_648)
        expect(() => new Date(expiresAt).toISOString()).not.toThrow()
      })
    )
    expect(expiry({}, Number.POSITIVE_INFINITY)).toBe(2_147_483_647 * 3_600_000)
    expect(expiry({ expires: new Date(0) })).toBe(1)
  })
})

it.each([
  [{ expires: null }, false],
  [{ maxAge: null }, false],
  [{}, false],
  [{ expires: false }, false],
  [{ expires: new Date(NOW) }, true],
  [{ maxAge: 5 }, true]
])('the cookie %j has an expiry: %s', (cookie, has) => {
  expect(hasExpiry(cookie)).toBe(has)
})

describe('a touch is worth a statement', () => {
  it('by default where it moves the expiry by a hundredth of the life', () => {
    expect(touchThreshold(undefined, 3_600_000)).toBe(36_000)
  })

  it('by default at the latest after a minute', () => {
    expect(touchThreshold(undefined, 30 * DAY)).toBe(60_000)
  })

  it('by default always for a life under ten minutes', () => {
    expect(touchThreshold(undefined, 599_999)).toBe(0)
    expect(touchThreshold(undefined, 600_000)).toBe(6000)
  })

  it('as touchAfterMs says, where it says something', () => {
    expect(touchThreshold(0, DAY)).toBe(0)
    expect(touchThreshold(5000, 1000)).toBe(5000)
  })
})
