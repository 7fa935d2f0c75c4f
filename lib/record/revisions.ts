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
}

/**
 * Which revision a session object came from. The object itself is the key: express-session hands the very object that `get` gave to
 * `createSession`, and the one made there to `set` and `touch`; so each request has its own, and none outlives its session object.
 */
export class Revisions {
  private readonly known = new WeakMap<object, KnownRevision>()

  of(session: object, storedId: string): KnownRevision | undefined {
    const known = this.known.get(session)
    return known?.storedId === storedId ? known : undefined
  }

  remember(session: object, known: KnownRevision): void {
    this.known.set(session, known)
  }

  /** The new object stands for the same loaded session as the old one. */
  pass(from: object, to: object): void {
    const known = this.known.get(from)
    if (known !== undefined) this.known.set(to, known)
  }
}
