import { createCipheriv, createDecipheriv, createHash, createHmac, hkdfSync, randomBytes } from 'node:crypto'
import type { SessionData } from 'express-session'
import { Hidden, InvalidOptionError, UnreadableSessionError } from '../errors'
import { refuseUnknown } from '../unknown-option'
import { json, type Rewrite, type SessionCodec } from './codec'

/** A secret of at least 32 characters, or 32 random bytes. */
export type EncryptionKey = string | Uint8Array

/** Options of {@link encrypted}. */
export interface EncryptedOptions {
  /**
   * The first key writes, all of them read. To rotate, let every process read the new key before the first one writes with it: add it at
   * the end, deploy, move it to the front, deploy; drop the old one when its sessions are gone.
   */
  readonly keys: readonly EncryptionKey[]
  /** Read rows that were written before encryption was on, and encrypt each at its first use. @default false */
  readonly acceptPlain?: boolean
  /**
   * The purpose of the sessions: an application, a table. Data that was written under another context cannot be decrypted, even with the
   * same key and under the same session id. A new context ends all sessions. @default ''
   */
  readonly context?: string
}

interface DerivedKey {
  readonly id: string
  /** The key of each row is derived from it. */
  readonly secret: Uint8Array
}

/** Derives the key of one row. */
type RowKey = (key: DerivedKey, storedId: string) => Uint8Array

const VERSION = 'e1'
const MIN_KEY_LENGTH = 32
/** A key with fewer different characters is a placeholder. A random key of hexadecimal digits has sixteen. */
const MIN_KEY_VARIETY = 8
const MAKE_ONE = `. This prints a key: node -p "crypto.randomBytes(32).toString('base64')"`
const NOT_SET = '; if it comes from an environment variable, that is not set'
const IV_BYTES = 12
const TAG_BYTES = 16

/**
 * A codec that encrypts with AES-256-GCM. A row is `e1.<key id>.<iv, text, tag>`. Each row has a key of its own, derived from your key, the
 * context and the stored id. So a row that is copied under another id cannot be decrypted, and no key encrypts more than the writes of one
 * session, for which random nonces are enough.
 *
 * @throws {InvalidOptionError} if there is no key, or a key is too short or has too few different characters
 * @throws {UnknownOptionError} if an option is misspelt
 * @example
 * import { encrypted } from 'knex-session-store'
 *
 * // The first key encrypts; the others only decrypt, until all sessions of their time have expired.
 * new KnexSessionStore({ knex: db, codec: encrypted({ keys: [process.env.SESSION_KEY, 'the key before this one, of 32 characters'] }) })
 */
export function encrypted(options: EncryptedOptions): SessionCodec {
  // An error never shows a key, even if it was passed in the wrong place.
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new InvalidOptionError('the options of encrypted()', 'an object with keys', new Hidden(options))
  }
  refuseUnknown(options, ['keys', 'acceptPlain', 'context'])
  const { keys, acceptPlain = false, context = '' } = options
  if (!Array.isArray(keys) || keys.length === 0) throw new InvalidOptionError('keys', 'a list with at least one key', new Hidden(keys))
  if (typeof acceptPlain !== 'boolean') throw new InvalidOptionError('acceptPlain', 'true or false', new Hidden(acceptPlain))
  if (typeof context !== 'string') throw new InvalidOptionError('context', 'a string', new Hidden(context))
  const rowKey: RowKey = ({ secret }, storedId) =>
    createHmac('sha256', secret)
      .update(JSON.stringify([context, storedId]))
      .digest()
  const derived = keys.map(deriveKey)
  const current = derived[0] as DerivedKey
  const byId = new Map(derived.map((key) => [key.id, key]))
  const isPlain = (data: string) => acceptPlain && data.startsWith('{')
  return Object.freeze({
    encode: (session: SessionData, storedId: string) => seal(comparable(session), current, rowKey(current, storedId)),
    decode: (data: string, storedId: string) =>
      json.decode(isPlain(data) ? data : open(data, byId, (key) => rowKey(key, storedId)), storedId),
    comparable,
    rewrite: (data: string): Rewrite => {
      if (isPlain(data)) return 'at-once'
      return data.startsWith(`${VERSION}.${current.id}.`) ? 'not' : 'at-next-write'
    }
  })
}

/** Encryption returns a different text each time. This text is the same for the same session. */
function comparable(session: SessionData): string {
  return JSON.stringify(session)
}

function deriveKey(key: unknown, index: number): DerivedKey {
  if (typeof key !== 'string' && !(key instanceof Uint8Array))
    throw new InvalidOptionError(`keys[${index}]`, 'a string or bytes', new Hidden(key), key === undefined ? NOT_SET : '')
  if (key.length < MIN_KEY_LENGTH) throw new InvalidOptionError(`keys[${index}].length`, `at least ${MIN_KEY_LENGTH}`, key.length, MAKE_ONE)
  const variety = new Set<unknown>([...key]).size
  if (variety < MIN_KEY_VARIETY)
    throw new InvalidOptionError(`keys[${index}]`, `random: it needs at least ${MIN_KEY_VARIETY} different characters`, variety, MAKE_ONE)
  const secret = new Uint8Array(hkdfSync('sha256', key, '', 'knex-session-store/aes-256-gcm', 32))
  const id = createHash('sha256').update('key id').update(secret).digest('base64url').slice(0, 8)
  return { id, secret }
}

function seal(text: string, { id }: DerivedKey, rowKey: Uint8Array): string {
  const iv = randomBytes(IV_BYTES)
  const head = `${VERSION}.${id}.`
  const cipher = createCipheriv('aes-256-gcm', rowKey, iv).setAAD(Buffer.from(head))
  const sealed = [iv, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]
  return head + Buffer.concat(sealed).toString('base64url')
}

function open(data: string, keys: ReadonlyMap<string, DerivedKey>, rowKeyOf: (key: DerivedKey) => Uint8Array): string {
  const [version, id = '', body] = data.split('.')
  if (version !== VERSION || body === undefined)
    throw new UnreadableSessionError('its data is not encrypted; if it was stored before encryption was switched on, set acceptPlain: true')
  const key = keys.get(id)
  if (key === undefined)
    throw new UnreadableSessionError(
      'its data is encrypted with a key that is not in the option keys; add the old key at the end of the list'
    )
  const bytes = Buffer.from(body, 'base64url')
  try {
    const decipher = createDecipheriv('aes-256-gcm', rowKeyOf(key), bytes.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES })
    decipher.setAAD(Buffer.from(`${VERSION}.${id}.`)).setAuthTag(bytes.subarray(-TAG_BYTES))
    return decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES), undefined, 'utf8') + decipher.final('utf8')
  } catch {
    throw new UnreadableSessionError('its data was changed, cut, or copied from another row or context')
  }
}
