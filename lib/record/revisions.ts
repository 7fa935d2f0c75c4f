import type { MaxAge } from './storable'

/** What is known of a session object since it was loaded or saved. */
export interface KnownRevision {
  readonly storedId: string
  readonly revision: number
  /** The data of the row at this revision. */
  readonly data: string
  /** The data as the session object had it. Differs from `data` after a merge: what others changed is in the row, not in the object. */
  readonly base: string
  /** The text of the session object by which a change is noticed. */
  readonly comparable: string
  readonly expiresAt: number
  readonly createdAt: number
  /** The cookie's `originalMaxAge` as loaded. */
  readonly maxAge: MaxAge
  /** True if the codec would write the row's data otherwise today, with a newer key, say. */
  readonly outdated: boolean
  /** The transaction in which this was read or written: if that was rolled back, the revision may have been given to other data. */
  readonly transaction?: object | undefined
}

/**
 * Which revision a session object came from. The object itself is the key: express-session hands the very object that `get` gave to
 * `createSession`, and the one made there to `set` and `touch`; so each request has its own, and none outlives its session object.
 *
 * A property that nobody enumerates, serializes or copies, because a WeakMap costs twice as much as decoding a small session does, in
 * garbage collection above all; a WeakMap where the application has frozen its object.
 */
export class Revisions {
  private readonly key = Symbol('revision')
  /** None until it is needed: to ask it costs each session that is not known. */
  private ofFrozen: WeakMap<object, KnownRevision> | undefined

  of(session: object, storedId: string): KnownRevision | undefined {
    const known = this.find(session)
    return known?.storedId === storedId ? known : undefined
  }

  remember(session: object, known: KnownRevision): void {
    const box = (session as Boxed)[this.key]
    if (box !== undefined && Object.hasOwn(session, this.key)) box.known = known
    else if (Object.isExtensible(session)) Object.defineProperty(session, this.key, { value: { known } })
    else {
      this.ofFrozen ??= new WeakMap()
      this.ofFrozen.set(session, known)
    }
  }

  /** The new object stands for the same loaded session as the old one. */
  pass(from: object, to: object): void {
    const known = this.find(from)
    if (known !== undefined) this.remember(to, known)
  }

  private find(session: object): KnownRevision | undefined {
    // What is given as a session may be anything, even null: that is refused where it is encoded.
    return (session as Boxed | null)?.[this.key]?.known ?? this.ofFrozen?.get(session)
  }
}

/** A box, because the application may freeze its object after it was loaded. */
interface Boxed {
  readonly [key: symbol]: { known: KnownRevision } | undefined
}
