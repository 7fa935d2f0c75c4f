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

/** Counts the resets of a table. What was remembered before the last one is ignored. */
export interface Era {
  readonly resets: number
}

/** Options of {@link Revisions}. */
export interface RevisionsOptions {
  readonly codec: SessionCodec
  /** True if copies of loaded sessions are recognised too. */
  readonly tracksLoads: boolean
  readonly era: Era
}

const DEFAULTS: RevisionsOptions = { codec: json, tracksLoads: true, era: { resets: 0 } }

/** The number of objects inside a session that get a mark. One is enough to recognise a copy, and each mark costs time. */
const MARKED_PARTS = 2

let origins = 0

/**
 * Remembers which revision each session object came from. An object is recognised by its own mark, then by the mark of an object inside
 * it, then by what its async context has loaded.
 *
 * express-session passes the object from `get` to `createSession`, and the object made there to `set` and `touch`. Other clients copy the
 * session. A copy usually shares the objects inside with its original. If it shares none, only the async context identifies it, because
 * each request has its own.
 */
export class Revisions {
  private readonly contexts: LoadContexts | undefined

  constructor(private readonly options: RevisionsOptions = DEFAULTS) {
    this.contexts = options.tracksLoads ? new LoadContexts(this, options.era) : undefined
  }

  /** Recognises the object by its own mark only: for `touch`, which does not write the whole session and may get only a part of it. */
  of(session: object, storedId: string): KnownRevision | undefined {
    // The client may pass anything as a session, even null. Encoding refuses it.
    if (typeof session !== 'object' || session === null) return undefined
    const own = this.originOf(session)
    return own?.revision.storedId === storedId ? own.revision : undefined
  }

  /** Recognises the object in any of the three ways. Then marks it, because the other two ways may be gone at the next call. */
  find(session: object, storedId: string): KnownRevision | undefined {
    const own = this.of(session, storedId)
    if (own !== undefined || this.contexts === undefined || typeof session !== 'object' || session === null) return own
    const origin = this.ofParts(session, storedId) ?? this.ofContext(storedId)
    if (origin !== undefined) putMark(session, origin)
    return origin?.revision
  }

  /**
   * Remembers a session that `get` is about to return.
   *
   * @param isCopied false for a client that passes the loaded object to `createSession`. Copies are rare then, and share the cookie, so
   * only the cookie is marked
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

  /** Remembers the revision of a session object that was written. */
  remember(session: object, revision: KnownRevision): void {
    const own = this.originOf(session)
    if (own?.revision.storedId === revision.storedId) own.revision = revision
    else this.startOrigin(session, revision)
    this.contexts?.saved(revision, this.options.codec)
  }

  /** Marks an object that was made from a loaded one as the same session. */
  pass(from: object, to: object): void {
    const origin = this.originOf(from)
    if (origin !== undefined) putMark(to, origin)
  }

  /** Call it before a load begins. See {@link LoadContexts.enter}. */
  enterLoad(storedId: string): void {
    this.contexts?.enter(storedId)
  }

  /** Forgets what the running async context has loaded under this id, because that context has ended the session. */
  ended(storedId: string): void {
    this.contexts?.ended(storedId)
  }

  /** Forgets all that the running async context has loaded. */
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

  /** If the parts come from several loads, the latest counts: the application may have put an old part into a newer session. */
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
      // A getter threw. Encoding the session reports it.
    }
    return latest
  }

  private ofContext(storedId: string): Origin | undefined {
    const revision = this.contexts?.find(storedId)
    return revision && new Origin(this, this.options.era.resets, ++origins, revision)
  }
}
