import type { SessionData } from 'express-session'
import { isOurs, SessionStoreError, UnreadableSessionError, UnserializableSessionError } from '../errors'
import { isPromiseLike, type MaybePromise } from '../runtime/maybe-promise'
import { copyValues } from './copy-values'
import { isNoLife } from './expiry'

/**
 * Turns a session into text, and text into a session. Both functions may be async. `storedId` is the key of the row, for codecs that bind
 * the text to it.
 *
 * @example
 * import type { SessionCodec } from 'knex-session-store'
 *
 * const base64: SessionCodec = {
 *   encode: (session) => Buffer.from(JSON.stringify(session)).toString('base64'),
 *   decode: (text) => JSON.parse(Buffer.from(text, 'base64').toString())
 * }
 */
export interface SessionCodec {
  /** Returns the text. It must not be empty, nor contain U+0000 or half of a surrogate pair. Throws if the session cannot be written. */
  encode(session: SessionData, storedId: string): string | Promise<string>
  /** Returns the session, an object with a `cookie`. Throws if the text is not one of its own. */
  decode(text: string, storedId: string): unknown
  /**
   * Returns a text that is equal for equal sessions; the store notices a change by it. Only for a codec that encodes the same session
   * differently each time, as encryption does. Default: the text of `encode`.
   */
  comparable?(session: SessionData): string
  /** Returns whether a stored text should be written anew, because `encode` would write it differently today. Default: `'not'`. */
  rewrite?(text: string): Rewrite
}

/** When a stored text is written anew: when it is read, with the next write of the session, or not at all. */
export type Rewrite = 'at-once' | 'at-next-write' | 'not'

/**
 * JSON, the default codec. A codec of your own may begin with it.
 *
 * @example
 * import { json, type SessionCodec } from 'knex-session-store'
 *
 * // Writes JSON, and also reads the base64 that was written before.
 * const codec: SessionCodec = {
 *   ...json,
 *   decode: (text, storedId) => json.decode(text.startsWith('{') ? text : Buffer.from(text, 'base64').toString(), storedId)
 * }
 */
export const json: SessionCodec = Object.freeze({
  encode: (session: SessionData) => JSON.stringify(session),
  decode: (text: string) => JSON.parse(text)
})

/** Codec output that may go into the table, with the text by which changes are noticed. */
export interface EncodedSession {
  readonly data: string
  readonly comparable: string
}

/**
 * Encodes the session as it is now. Errors of the codec, or of a `toJSON` in the session, become one clear error that shows nothing of the
 * session. Returns a promise only if the codec does: the default codec must not cost a turn of the promise queue.
 *
 * @param session an object that the store made; the application may still change the values in it
 */
export function encode(codec: SessionCodec, session: SessionData, storedId: string): MaybePromise<EncodedSession> {
  try {
    const encoded = codec.encode(session, storedId)
    const comparable = codec.comparable?.(session)
    if (!isPromiseLike(encoded)) return checked(codec, encoded, comparable)
    // An async codec reads this object later. Meanwhile the application may change the values in it.
    copyValues(session)
    return Promise.resolve(encoded)
      .then((data) => checked(codec, data, comparable))
      .catch(unserializable)
  } catch (error) {
    return unserializable(error)
  }
}

function checked(codec: SessionCodec, data: string, comparable = data): EncodedSession {
  if (codec !== json || data === undefined) refuseUnstorable(data)
  return { data, comparable }
}

function unserializable(error: unknown): never {
  throw error instanceof SessionStoreError ? error : new UnserializableSessionError(reasonOf(error))
}

/**
 * Decodes and checks a session. Throws or rejects with {@link UnreadableSessionError} if the text is not a session. Returns a promise only
 * if the codec does: the default codec must not cost a turn of the promise queue.
 */
export function decode(codec: SessionCodec, data: string, storedId: string): MaybePromise<SessionData> {
  try {
    const decoded = codec.decode(data, storedId)
    return isPromiseLike(decoded) ? Promise.resolve(decoded).then(asSession).catch(unreadable) : asSession(decoded)
  } catch (error) {
    return unreadable(error)
  }
}

function unreadable(error: unknown): never {
  throw error instanceof UnreadableSessionError
    ? error
    : new UnreadableSessionError('its data is not what the codec writes, so another program or another codec wrote it')
}

/**
 * Returns the value if it is a session, else throws. express-session and its relatives need a `cookie` object in it, and throw if its
 * `maxAge` is not a number, which would be an error page at each visit.
 */
export function asSession(value: unknown): SessionData {
  if (!isObject(value)) throw new UnreadableSessionError('its data is not an object')
  const { cookie } = value as Partial<Record<'cookie', Partial<Record<'maxAge' | 'originalMaxAge', unknown>>>>
  if (!isObject(cookie)) throw new UnreadableSessionError('its data has no cookie')
  const { maxAge, originalMaxAge } = cookie
  if (isNoLife(maxAge) || isNoLife(originalMaxAge)) throw new UnreadableSessionError('its cookie has a maxAge that is not a number')
  return value as unknown as SessionData
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function refuseUnstorable(data: unknown): void {
  if (typeof data !== 'string' || data === '')
    throw new UnserializableSessionError('encode of the codec must return a string that is not empty')
  if (data.includes('\0'))
    throw new UnserializableSessionError(
      'encode of the codec returned the character U+0000, which databases refuse; let it return text without it, such as base64'
    )
  if (!data.isWellFormed())
    throw new UnserializableSessionError(
      'encode of the codec returned half of a surrogate pair, which is not valid Unicode; let it return other text, such as base64'
    )
}

/** The reason in errors when V8, which walks objects by recursion, runs out of stack. */
export const TOO_DEEP = 'it is nested too deeply (thousands of objects within objects); keep such a structure elsewhere, or as text'

function reasonOf(error: unknown): string {
  if (error instanceof TypeError && /BigInt/.test(error.message)) return 'it holds a BigInt, which JSON cannot write; store it as a string'
  if (error instanceof TypeError && /circular/i.test(error.message))
    return 'it refers to itself (a circular reference); store a copy without the reference'
  if (error instanceof RangeError) return TOO_DEEP
  return 'the codec, or a toJSON or getter in the session, threw an error; find out which one (its error is left out, because it may show the session)'
}

/** Replaces other errors of a codec, because they may show the session. */
export function asUnreadable(error: unknown): unknown {
  return isOurs(error) ? error : new UnreadableSessionError('its codec threw an error')
}
