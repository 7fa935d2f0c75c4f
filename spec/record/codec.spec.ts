import { runInNewContext } from 'node:vm'
import type { SessionData } from 'express-session'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { UnreadableSessionError, UnserializableSessionError } from '../../lib/errors'
import { decode, encode, json, type SessionCodec } from '../../lib/record/codec'

const session = (data: object = {}) => ({ cookie: {}, ...data }) as SessionData
const codecThat = (gives: Partial<SessionCodec>): SessionCodec => ({ ...json, ...gives })

async function refusalOf(work: Promise<unknown>): Promise<Error> {
  return work.then(
    () => new Error('expected an error'),
    (error) => error
  )
}

describe('encoding', () => {
  it('and decoding give back whatever JSON can hold', async () => {
    await fc.assert(
      fc.asyncProperty(fc.jsonValue({ maxDepth: 2, stringUnit: 'binary' }), async (value) => {
        const { data, comparable } = await encode(json, session({ value }), 'id')
        expect(comparable).toBe(data)
        const expected = JSON.parse(JSON.stringify(value))
        expect((await decode(json, data, 'id')) as unknown).toEqual({ cookie: {}, value: expected })
      })
    )
  })

  it('gives a text that every database takes, whatever the session holds', async () => {
    const text = fc.array(fc.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units))
    await fc.assert(
      fc.asyncProperty(text, text, async (name, value) => {
        const { data } = await encode(json, session({ [name]: value }), 'id')
        expect(data).not.toContain('\0')
        expect(data.isWellFormed()).toBe(true)
      })
    )
  })

  const circular: Record<string, unknown> = { secret: 'the secret' }
  circular.self = circular
  it.each([
    ['a BigInt', { amount: 5n }, 'it holds a BigInt, which JSON cannot write; store it as a string'],
    ['a circular reference', { circular }, 'it refers to itself (a circular reference); store a copy without the reference'],
    [
      'a toJSON that throws',
      {
        user: {
          toJSON() {
            throw new Error('the secret')
          }
        }
      },
      'the codec, or a toJSON or getter in the session, threw an error; find out which one (its error is left out, because it may show the session)'
    ]
  ])('of %s is one clear error, which shows nothing of the session', async (_what, data, why) => {
    const error = await refusalOf((async () => encode(json, session(data), 'id'))())
    expect(error).toEqual(new UnserializableSessionError(why))
    expect(error.message).toBe(`the session cannot be stored: ${why}`)
    expect(error).not.toHaveProperty('cause')
  })

  it.each([
    ['nothing', undefined, 'encode of the codec must return a string that is not empty'],
    ['an empty text', '', 'encode of the codec must return a string that is not empty'],
    ['bytes', Buffer.from('{}'), 'encode of the codec must return a string that is not empty'],
    [
      'NUL',
      'a\0b',
      'encode of the codec returned the character U+0000, which databases refuse; let it return text without it, such as base64'
    ],
    [
      'half of a surrogate pair',
      'a\ud800',
      'encode of the codec returned half of a surrogate pair, which is not valid Unicode; let it return other text, such as base64'
    ]
  ])('by a codec that gives %s is an error', async (_what, text, why) => {
    for (const encodeWith of [() => text, async () => text]) {
      expect(await refusalOf((async () => encode(codecThat({ encode: encodeWith as SessionCodec['encode'] }), session(), 'id'))())).toEqual(
        new UnserializableSessionError(why)
      )
    }
  })

  it('gives an async codec the stored id and waits for it', async () => {
    const codec = codecThat({ encode: async (_session, storedId) => `text of ${storedId}`, comparable: () => 'the same' })
    expect(await encode(codec, session(), 'id')).toEqual({ data: 'text of id', comparable: 'the same' })
  })
})

describe('decoding', () => {
  it.each([
    ['nothing', '', 'its data is not what the codec writes, so another program or another codec wrote it'],
    ['broken JSON', '{"cookie":', 'its data is not what the codec writes, so another program or another codec wrote it'],
    ['null', 'null', 'its data is not an object'],
    ['a number', '5', 'its data is not an object'],
    ['a list', '[]', 'its data is not an object'],
    ['a text', '"cookie"', 'its data is not an object'],
    ['an empty object', '{}', 'its data has no cookie'],
    ['a cookie that is null', '{"cookie":null}', 'its data has no cookie'],
    ['a cookie that is a text', '{"cookie":"a"}', 'its data has no cookie'],
    ['a cookie with a life that is no number', '{"cookie":{"maxAge":"soon"}}', 'its cookie has a maxAge that is not a number'],
    ['a cookie with a first life that is none', '{"cookie":{"originalMaxAge":{}}}', 'its cookie has a maxAge that is not a number'],
    ['a cookie that is a list', '{"cookie":[]}', 'its data has no cookie']
  ])('of %s is no session', async (_what, data, reason) => {
    expect(await refusalOf((async () => decode(json, data, 'id'))())).toEqual(new UnreadableSessionError(reason))
  })

  it('shows nothing of what a codec throws', async () => {
    const throwing = codecThat({
      decode: async () => {
        throw new Error('the secret')
      }
    })
    const error = await refusalOf((async () => decode(throwing, '{}', 'id'))())
    expect(error.message).toBe(
      'a stored session cannot be read: its data is not what the codec writes, so another program or another codec wrote it'
    )
    expect(error).not.toHaveProperty('cause')
  })

  it('waits for an async codec, also where its promise is of another realm, as under Jest', async () => {
    const foreign = runInNewContext('(async () => ({ cookie: {} }))()')
    expect(foreign).not.toBeInstanceOf(Promise)
    expect(await decode(codecThat({ decode: () => foreign }), 'text', 'id')).toEqual({ cookie: {} })
  })
})
