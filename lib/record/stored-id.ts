import { hash } from 'node:crypto'
import { describeValue, Hidden, InvalidSessionIdError } from '../errors'

/** How the session id becomes the key of the row. */
export type StoredIdForm = 'hashed' | 'plain'

/** Characters of a base64url SHA-256. */
export const HASH_LENGTH = 43

/**
 * The last character of a prefix before a plain id. A plain id must not contain it. So each stored id has exactly one prefix, and no prefix
 * is the beginning of another.
 */
export const PREFIX_END = ':'

/** The beginning of the ids of rows that are no sessions. Such an id ends with a colon, and the id of a session does not. */
export const OWN_ROWS = 'knex-session-store:'

/** Width of the id column, in characters. */
export const ID_LENGTH = 255

/** The options of a store that decide how a session is found. */
export interface StoredIdOptions {
  /** The option `storedId` of the store. @default 'hashed' */
  storedId?: StoredIdForm
  /** The option `prefix` of the store. @default '' */
  prefix?: string
}

/**
 * Returns the key of a session's row, the column `id`: for programs that have to write SQL. A hashed key takes any string, and is useless to
 * someone who reads the table.
 *
 * @throws {InvalidSessionIdError} for a session id that cannot be stored as it is, with `storedId: 'plain'`
 * @example
 * import { storedIdOf } from 'knex-session-store'
 *
 * const row = await db('sessions').where('id', storedIdOf(req.sessionID, { prefix: 'web:' })).first()
 */
export function storedIdOf(sessionId: string, { storedId = 'hashed', prefix = '' }: StoredIdOptions = {}): string {
  if (typeof sessionId !== 'string') throw new InvalidSessionIdError(`it must be a string, got ${describeValue(new Hidden(sessionId))}`)
  if (storedId === 'hashed') return prefix + sha256(sessionId)
  const why = plainIdRefusal(sessionId, prefix)
  if (why !== undefined) throw new InvalidSessionIdError(why)
  return prefix + sessionId
}

/**
 * Identifies a stored session where other people may see it, as in a URL. It is not a session id, and if ids are hashed, it leads to none.
 */
export function handleOf(storedId: string): string {
  return sha256(`knex-session-store:handle:${storedId}`)
}

/** Returns why this session id cannot be stored as a plain id, or undefined. */
export function plainIdRefusal(sessionId: string, prefix: string): string | undefined {
  if (sessionId === '') return 'it is empty'
  if (sessionId.includes(PREFIX_END)) return 'it contains a colon, which ends a prefix'
  if (prefix.length + sessionId.length > ID_LENGTH) return `with its prefix it is longer than ${ID_LENGTH} characters`
  return textRefusal(sessionId)
}

/** True for a text that looks like a hashed id. Someone who read the hash in the table may send it as a session id. */
export function looksHashed(id: string): boolean {
  return id.length === HASH_LENGTH && /^[\w-]+$/.test(id)
}

/** Returns why the text does not fit a column as wide as the id column, or undefined. */
export function textRefusal(text: string): string | undefined {
  if (text.length > ID_LENGTH) return `it is longer than ${ID_LENGTH} characters`
  // Databases refuse it.
  if (text.includes('\0')) return 'it contains a control character (U+0000)'
  return text.isWellFormed() ? undefined : 'it contains half of a surrogate pair, which is not valid Unicode'
}

function sha256(sessionId: string): string {
  if (sessionId.isWellFormed()) return hash('sha256', sessionId, 'base64url')
  // As UTF-8, every lone surrogate would become the same replacement character, and different ids the same key.
  return hash('sha256', Buffer.from(`utf16:${sessionId}`, 'utf16le'), 'base64url')
}
