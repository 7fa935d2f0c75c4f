import { nothing } from '../runtime/nothing'
import { isPromiseLike, type Soon } from '../runtime/soon'
import { decode, type SessionCodec } from './codec'
import { digestOf, EntryDigests } from './entry-digests'
import type { MaxAge } from './storable'

/** What is known of a session object since it was loaded or saved. */
export interface KnownRevision {
  readonly storedId: string
  readonly revision: number
  /** The data of the row at this revision. */
  readonly data: string
  /**
   * The data as the session object had it. After a merge it differs from `data`: the changes of other requests are in the row, not in the
   * object.
   */
  readonly base: string
  /** The text of the session object by which a change is noticed. */
  readonly comparable: string
  readonly expiresAt: number
  readonly createdAt: number
  /** The cookie's `originalMaxAge` as loaded. */
  readonly maxAge: MaxAge
  /** True if the codec would write the row's data otherwise today, with a newer key, say. */
  readonly isOutdated: boolean
  /** True for a plain object that was never loaded, only set: written by hand, it is written whatever became of its row. */
  readonly isByHand: boolean
  /** The owner of the session as it was loaded or saved, if the store limits the sessions of an owner. */
  readonly ownerId?: string | null | undefined
  /** The transaction in which this was read or written: if that was rolled back, the revision may have been given to other data. */
  readonly transaction?: object | undefined
  /** Set where the three texts are digests of themselves, so that they keep little alive. */
  readonly digests?: { readonly base: EntryDigests | undefined } | undefined
}

/** Texts up to this many characters are kept as they are: digests of small ones would not be much smaller. */
const MAX_WHOLE_LENGTH = 4096

/** Whether the text is the one that is known. */
export function isKnownText(text: string, field: 'data' | 'comparable', known: KnownRevision): boolean {
  return (known.digests === undefined ? text : digestOf(text)) === known[field]
}

/**
 * Calls `use` with the same revision; that of a large session is reduced to a few hundred bytes. If the codec is async, `use` is called
 * later.
 *
 * @param session the session that the codec made of `base`, if it is there
 */
export function useDigested(
  known: KnownRevision,
  codec: SessionCodec,
  session: Soon<object> | undefined,
  use: (known: KnownRevision) => void
): void {
  if (known.digests !== undefined || (known.base.length <= MAX_WHOLE_LENGTH && known.data.length <= MAX_WHOLE_LENGTH)) {
    use(known)
    return
  }
  const base = session ?? decode(codec, known.base, known.storedId)
  if (!isPromiseLike(base)) use(digested(known, base))
  // If it cannot be decoded, the whole text is kept. The error shows when the text is needed.
  else Promise.resolve(base).then((decoded) => use(digested(known, decoded)), nothing)
}

function digested(known: KnownRevision, base: object): KnownRevision {
  const isWhole = known.base === known.data
  const digest = digestOf(known.data)
  return {
    ...known,
    // After a merge the row holds more than the object does, and what that is will be found in the row.
    data: isWhole ? digest : '',
    base: isWhole ? digest : digestOf(known.base),
    comparable: known.comparable === known.data ? digest : digestOf(known.comparable),
    digests: { base: EntryDigests.of(base) }
  }
}
