import { hash } from 'node:crypto'
import { inspect } from 'node:util'
import { UnserializableSessionError } from '../errors'
import { TOO_DEEP } from './codec'
import { type Entries, entriesOf } from './entries'

/** The number of characters kept from the digest of a key, and from that of its value. */
const KEY_LENGTH = 8
const VALUE_LENGTH = 16
const LENGTH = KEY_LENGTH + VALUE_LENGTH

/** A session with more keys gets no digest for each key, so that a session of many small keys takes little memory. */
const MAX_KEYS = 256

/**
 * What is kept of a large session after it was loaded: 24 bytes for each key. It tells which keys have changed since, which is all that a
 * merge needs.
 */
export class EntryDigests {
  private constructor(private readonly digests: string) {}

  /** The digests of a session that comes from the codec, or undefined if it has too many keys, or is nested too deeply. */
  static of(session: object): EntryDigests | undefined {
    const entries = entriesOf(session)
    if (entries.size > MAX_KEYS) return undefined
    try {
      let digests = ''
      for (const [key, value] of entries) digests += keyDigest(key) + valueDigest(value)
      return new EntryDigests(digests)
    } catch {
      return undefined
    }
  }

  /** True if the key has another value in `entries`, or is missing on one of the two sides. */
  differs(entries: Entries, key: string): boolean {
    const found = this.find(keyDigest(key))
    if (found === undefined || !entries.has(key)) return (found === undefined) === entries.has(key)
    return found !== valueDigest(entries.get(key))
  }

  private find(key: string): string | undefined {
    for (let at = 0; at < this.digests.length; at += LENGTH) {
      if (this.digests.startsWith(key, at)) return this.digests.slice(at + KEY_LENGTH, at + LENGTH)
    }
    return undefined
  }
}

/** The SHA-256 of a text. */
export function digestOf(text: string): string {
  return hash('sha256', text, 'base64url')
}

function keyDigest(key: string): string {
  return digestOf(key).slice(0, KEY_LENGTH)
}

function valueDigest(value: unknown): string {
  try {
    return digestOf(asText(value)).slice(0, VALUE_LENGTH)
  } catch {
    // The stack overflowed.
    throw new UnserializableSessionError(`it cannot be merged with what another request wrote: ${TOO_DEEP}`)
  }
}

const INSPECTED = { depth: Infinity, maxArrayLength: null, maxStringLength: null, customInspect: false, breakLength: Infinity } as const

/** Values that JSON cannot write, such as a Map or BigInt of a custom codec, are written by `inspect`: equal if they look equal. */
function asText(value: unknown): string {
  return isJson(value) ? JSON.stringify(value) : inspect(value, INSPECTED)
}

function isJson(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value)
  if (Array.isArray(value)) return value.every(isJsonOrNull)
  const prototype = Object.getPrototypeOf(value)
  return (prototype === null || prototype === Object.prototype) && Object.values(value).every(isJsonOrNull)
}

function isJsonOrNull(value: unknown): boolean {
  return value === null || isJson(value)
}
