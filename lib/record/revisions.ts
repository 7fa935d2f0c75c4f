import type { SessionData } from 'express-session'
import { json, type SessionCodec } from './codec'
import type { KnownRevision } from './known-revision'
import { LoadContexts } from './load-contexts'
import { markOf, putMark } from './marks'

/** One load or save that session objects come from. It is the mark on each of those objects, so a new revision is known to all of them. */
class Origin {
  constructor(
    /** Two stores in one process do not trust each other's marks. */
    readonly by: Revisions,
    /** The number of resets before it. */
    readonly era: number,
    /** Grows with every origin in this process: the later of two has the higher number. */
    readonly number: number,
    public revision: KnownRevision
  ) {}
}

/** How often all that is known was forgotten. */
export interface Era {
  readonly resets: number
}

/** What sessions are known by, apart from the objects themselves. */
export interface RevisionsOptions {
  readonly codec: SessionCodec
  /** Copies of what was loaded are known too. */
  readonly tracksLoads: boolean
  readonly era: Era
}

const DEFAULTS: RevisionsOptions = { codec: json, tracksLoads: true, era: { resets: 0 } }

/** So many objects in a session are marked: one is enough to know a copy by, and each costs. */
const MARKED_PARTS = 2

let origins = 0

/**
 * Tells which revision a session object came from: by the object itself, then by an object inside it, then by the loads of the same async
 * context.
 *
 * express-session passes the very object of `get` to `createSession`, and the object made there to `set` and `touch`. Other clients copy
 * it. A copy shares the objects inside with its original. If it shares none, the async context is left, and each request has its own.
 */
export class Revisions {
  private readonly contexts: LoadContexts | undefined

  constructor(private readonly options: RevisionsOptions = DEFAULTS) {
    this.contexts = options.tracksLoads ? new LoadContexts(this, options.era) : undefined
  }

  /** By the object itself alone: for what does not replace the whole session, and so need not be given all of it. */
  of(session: object, storedId: string): KnownRevision | undefined {
    // Anything may be given as a session, even null. It is refused when it is encoded.
    if (typeof session !== 'object' || session === null) return undefined
    const own = this.originOf(session)
    return own?.revision.storedId === storedId ? own.revision : undefined
  }

  /** By whatever it may be known by; from then on by itself, because the rest may be gone when it is asked again. */
  find(session: object, storedId: string): KnownRevision | undefined {
    const own = this.of(session, storedId)
    if (own !== undefined || this.contexts === undefined || typeof session !== 'object' || session === null) return own
    const origin = this.ofParts(session, storedId) ?? this.ofContext(storedId)
    if (origin !== undefined) putMark(session, origin)
    return origin?.revision
  }

  /**
   * The session comes from `get`, with its cookie as the codec gave it.
   *
   * @param isCopied false where the client names the object it loaded, and copies are seldom: then the cookie alone is marked, which they share
   */
  loaded(session: SessionData, revision: KnownRevision, isCopied: boolean): void {
    const origin = this.startOrigin(session, revision)
    if (this.contexts === undefined) return
    if (!isCopied) {
      putMark(session.cookie, origin)
      return
    }
    let marked = 0
    for (const key in session) {
      const part: unknown = session[key as keyof SessionData]
      if (typeof part !== 'object' || part === null) continue
      putMark(part, origin)
      if (++marked === MARKED_PARTS) break
    }
    this.contexts.loaded(revision, this.options.codec, session)
  }

  /** The session object was written, or has become known otherwise. */
  remember(session: object, revision: KnownRevision): void {
    const own = this.originOf(session)
    if (own?.revision.storedId === revision.storedId) own.revision = revision
    else this.startOrigin(session, revision)
    this.contexts?.saved(revision, this.options.codec)
  }

  /** The new object stands for the same loaded session as the old one. */
  pass(from: object, to: object): void {
    const origin = this.originOf(from)
    if (origin !== undefined) putMark(to, origin)
  }

  /** A load is about to begin. See {@link LoadContexts.enter}. */
  enterLoad(storedId: string): void {
    this.contexts?.enter(storedId)
  }

  /** The session was ended by the code that runs now. */
  ended(storedId: string): void {
    this.contexts?.ended(storedId)
  }

  /** All sessions were ended by the code that runs now. */
  allEnded(): void {
    this.contexts?.allEnded()
  }

  private startOrigin(session: object, revision: KnownRevision): Origin {
    const origin = new Origin(this, this.options.era.resets, ++origins, revision)
    putMark(session, origin)
    return origin
  }

  private originOf(object: object): Origin | undefined {
    const origin = markOf(object)
    return origin instanceof Origin && origin.by === this && origin.era === this.options.era.resets ? origin : undefined
  }

  /** Of several loads the latest: an old part may have been put into a session that was loaded after it. */
  private ofParts(session: object, storedId: string): Origin | undefined {
    let latest: Origin | undefined
    try {
      for (const key in session) {
        const part: unknown = session[key as keyof typeof session]
        if (typeof part !== 'object' || part === null) continue
        const origin = this.originOf(part)
        if (origin?.revision.storedId === storedId && origin.number > (latest?.number ?? 0)) latest = origin
      }
    } catch {
      // A getter threw: that is seen, and said, where the session is encoded.
    }
    return latest
  }

  private ofContext(storedId: string): Origin | undefined {
    const revision = this.contexts?.find(storedId)
    return revision && new Origin(this, this.options.era.resets, ++origins, revision)
  }
}
