import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InvalidSessionIdError } from '../../lib/errors'
import { plainIdRefusal, storedIdOf, textRefusal } from '../../lib/record/stored-id'

/** Any JavaScript string, with halves of surrogate pairs. */
const anyString = fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 20 }).map((units) => String.fromCharCode(...units))

describe('a hashed id', () => {
  it('is the base64url SHA-256 of the session id after the prefix', () => {
    const hash = createHash('sha256').update('grüße').digest('base64url')
    expect(storedIdOf('grüße', { storedId: 'hashed', prefix: 'shop:' })).toBe(`shop:${hash}`)
  })

  it('has 43 harmless characters, whatever the session id is', () => {
    fc.assert(fc.property(anyString, (id) => /^[\w-]{43}$/.test(storedIdOf(id, { storedId: 'hashed', prefix: '' }))))
  })

  it('differs for different session ids', () => {
    fc.assert(
      fc.property(
        anyString,
        anyString,
        (one, other) =>
          (one === other) ===
          (storedIdOf(one, { storedId: 'hashed', prefix: '' }) === storedIdOf(other, { storedId: 'hashed', prefix: '' }))
      )
    )
  })

  it.each([
    ['case', 'abc', 'ABC'],
    ['accents', 'cafe', 'café'],
    ['composition', 'caf\u00e9', 'cafe\u0301'],
    ['a trailing space', 'abc', 'abc '],
    ['which half of a surrogate pair', 'a\ud800', 'a\ud801'],
    ['half of a surrogate pair and the replacement character', 'a\ud800', 'a\ufffd'],
    ['NUL', 'a', 'a\0']
  ])('distinguishes %s', (_what, one, other) => {
    expect(storedIdOf(one, { storedId: 'hashed', prefix: '' })).not.toBe(storedIdOf(other, { storedId: 'hashed', prefix: '' }))
  })
})

describe('a plain id', () => {
  it('is the session id after the prefix', () => {
    expect(storedIdOf('abc ', { storedId: 'plain', prefix: 'shop:' })).toBe('shop:abc ')
  })

  it.each([
    ['empty', '', '', 'it is empty'],
    ['too long', 'x'.repeat(256), '', 'with its prefix it is longer than 255 characters'],
    ['too long with its prefix', 'x'.repeat(251), 'shop:', 'with its prefix it is longer than 255 characters'],
    ['with a colon', 'admin:root', 'shop:', 'it contains a colon, which ends a prefix'],
    ['with NUL', 'a\0', '', 'it contains a control character (U+0000)'],
    ['with half of a surrogate pair', '\udc00', '', 'it contains half of a surrogate pair, which is not valid Unicode']
  ])('that is %s is refused, with what to do', (_what, id, prefix, why) => {
    expect(plainIdRefusal(id, prefix)).toBe(why)
    expect(() => storedIdOf(id, { storedId: 'plain', prefix })).toThrow(new InvalidSessionIdError(`${why}`))
    expect(new InvalidSessionIdError(why).message).toBe(
      `the session id cannot be stored: ${why}; storedId: 'hashed' (the default) takes any string`
    )
  })

  it('is the same text or refused, whatever the session id is', () => {
    fc.assert(
      fc.property(
        anyString,
        (id) => plainIdRefusal(id, 'p') !== undefined || storedIdOf(id, { storedId: 'plain', prefix: 'p' }) === `p${id}`
      )
    )
  })
})

it.each(['hashed', 'plain'] as const)('what is no string is no session id (%s), and is not shown', (form) => {
  for (const [id, kind] of [
    [undefined, 'undefined'],
    [null, 'null'],
    [12345, 'a number'],
    [{ id: 'secret' }, 'an object']
  ]) {
    expect(() => storedIdOf(id as string, { storedId: form, prefix: '' })).toThrow(
      `the session id cannot be stored: it must be a string, got ${kind};`
    )
  }
})

it('a text that databases refuse can be no id of an owner either', () => {
  expect(textRefusal('ada')).toBeUndefined()
  expect(textRefusal('ada\u001ebob')).toBeUndefined()
  expect(textRefusal('ada\0bob')).toBe('it contains a control character (U+0000)')
  expect(textRefusal('a'.repeat(256))).toBe('it is longer than 255 characters')
})
