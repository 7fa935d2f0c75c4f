import { isPromiseLike } from '../runtime/maybe-promise'
import { nothing } from '../runtime/nothing'
import { decode, type SessionCodec } from './codec'
import type { SessionDetails } from './details'
import { digestOf, EntryDigests } from './entry-digests'
import type { MaxAge } from './storable'

/**
 * What the store remembers about a session object that it has loaded or saved: which revision of the row the object stands for, and what
 * the row held then. The next `set` of the object uses it to notice changes and conflicts.
 */
export interface KnownRevision {
  readonly storedId: string
  readonly revision: number
  /** The data of the row at this revision. */
  readonly data: string
  /** The session object's own state as text. After a merge it differs from `data`: only the row has the other requests' changes. */
  readonly base: string
  /** The text that is compared with the next one to notice a change. See the codec's `comparable`. */
  readonly comparable: string
  readonly expiresAt: number
  readonly createdAt: number
  /** The cookie's `originalMaxAge` as loaded. */
  readonly maxAge: MaxAge
  /** True if the codec would write the same session differently today, for example with a newer key. */
  readonly isOutdated: boolean
  /** True for a plain object that was set without ever being loaded, as in a test fixture. It is written even if its row is dead. */
  readonly isByHand: boolean
  /** The owner of the session as it was loaded or saved. Undefined if the option `owner` is not given, or threw an error. */
  readonly ownerId?: string | null | undefined
  /** True if the row has another owner than the option `owner` returns: for example, the row is older than the option. */
  readonly hasOtherOwner?: boolean
  /** When the session was loaded or began, by `monotonicNow`. Undefined if the option `owner` is not given. */
  readonly began?: number | undefined
  /** The details that were stored with the session. */
  readonly details?: SessionDetails | undefined
  /** The transaction of the read or write. If it was rolled back, the same revision number may now belong to other data. */
  readonly transaction?: object | undefined
  /**
   * For a write in that transaction: what was known before the first one there, null if the session was new. It counts again if the
   * transaction was rolled back.
   */
  readonly before?: KnownRevision | null | undefined
  /**
   * Set for a large session: `data`, `base` and `comparable` are then SHA-256 digests, to save memory, and this holds one digest for each
   * key of the session. Its `base` is undefined if the session has too many keys or is nested too deeply.
   */
  readonly digests?: { readonly base: EntryDigests | undefined } | undefined
}

/**
 * What was known before the transaction of the revision, if another transaction runs now: the first may have been rolled back, and this is
 * another try. Outside of a transaction it is undefined. There a client saves the session at the end of a request, whatever became of the
 * transaction, and what was rolled back with its rows stays so.
 */
export function beforeTransaction(known: KnownRevision | undefined, now: object | undefined): KnownRevision | null | undefined {
  return now === undefined || known?.transaction === now ? undefined : known?.before
}

/** Texts of up to this many characters are kept whole, because digests would save little. */
const MAX_WHOLE_LENGTH = 4096

/** True if the text equals the remembered one. */
export function isKnownText(text: string, field: 'data' | 'comparable', known: KnownRevision): boolean {
  return (known.digests === undefined ? text : digestOf(text)) === known[field]
}

/**
 * Calls `use` with the revision. If the session is large, its texts are replaced by digests first. If the codec is async, `use` is called
 * later.
 *
 * @param session the session decoded from `base`, if the caller has it
 */
export function useDigested(
  known: KnownRevision,
  codec: SessionCodec,
  session: object | undefined,
  use: (known: KnownRevision) => void
): void {
  if (known.digests !== undefined || (known.base.length <= MAX_WHOLE_LENGTH && known.data.length <= MAX_WHOLE_LENGTH)) {
    use(known)
    return
  }
  const base = session ?? decode(codec, known.base, known.storedId)
  if (!isPromiseLike(base)) use(digested(known, base))
  // If the text cannot be decoded, it is kept whole. The error is reported when the text is needed.
  else Promise.resolve(base).then((decoded) => use(digested(known, decoded)), nothing)
}

function digested(known: KnownRevision, base: object): KnownRevision {
  const isWhole = known.base === known.data
  const digest = digestOf(known.data)
  return {
    ...known,
    // After a merge only the row has the other requests' changes. An empty text matches no row, so the next write reads the row first.
    data: isWhole ? digest : '',
    base: isWhole ? digest : digestOf(known.base),
    comparable: known.comparable === known.data ? digest : digestOf(known.comparable),
    digests: { base: EntryDigests.of(base) }
  }
}
