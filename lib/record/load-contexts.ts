import { AsyncLocalStorage } from 'node:async_hooks'
import type { SessionCodec } from './codec'
import { type KnownRevision, useDigested } from './known-revision'

/** One load, as the async context in which it was asked for knows it. */
interface Load {
  /** The object that the store's revisions are kept by. */
  readonly by: object
  readonly storedId: string
  readonly era: number
  /** Undefined until it is there, where nothing was found, and when the session was ended in the same context. */
  known: KnownRevision | undefined
}

/** A request loads one session, seldom two. An async context must not keep more alive the more is loaded in it. */
const MAX_LOADS = 2

const contexts = new AsyncLocalStorage<readonly Load[]>()

/**
 * What the running code has loaded. It is for clients that set a copy of a session which shares no object with what `get` returned. Each
 * load enters an async context of its own, so of two requests that began together, neither sees what the other has loaded since.
 */
export class LoadContexts {
  /** @param era grows when all that is known is forgotten */
  constructor(
    private readonly by: object,
    private readonly era: { readonly resets: number }
  ) {}

  /**
   * The caller is about to load the session. To be called before anything is awaited: then it reaches what follows the caller's callback and
   * what follows its `await`. Of two loads of one session the later counts.
   */
  enter(storedId: string): void {
    const load: Load = { by: this.by, storedId, era: this.era.resets, known: undefined }
    const before = contexts.getStore()
    contexts.enterWith(before === undefined ? [load] : this.withLatest(load, before))
  }

  /** The session that was loaded, unless it was ended here since. */
  find(storedId: string): KnownRevision | undefined {
    return this.load(storedId)?.known
  }

  /** @param session the session that the codec returned */
  loaded(known: KnownRevision, codec: SessionCodec, session: object): void {
    const load = this.load(known.storedId)
    if (load !== undefined) useDigested(known, codec, session, (small) => (load.known = small))
  }

  /** The session was written here. A later write goes by this one, if the one before went by a load. */
  saved(known: KnownRevision, codec: SessionCodec): void {
    const load = this.load(known.storedId)
    if (load?.known === undefined) return
    load.known = known
    useDigested(known, codec, undefined, (small) => {
      if (load.known === known) load.known = small
    })
  }

  /** The session was ended here. A session that is set under its id later is another one. */
  ended(storedId: string): void {
    const load = this.load(storedId)
    if (load !== undefined) load.known = undefined
  }

  allEnded(): void {
    for (const load of contexts.getStore() ?? []) if (load.by === this.by) load.known = undefined
  }

  private load(storedId: string): Load | undefined {
    const loads = contexts.getStore()
    if (loads === undefined) return undefined
    for (const load of loads) if (load.storedId === storedId && load.by === this.by && load.era === this.era.resets) return load
    return undefined
  }

  private withLatest(latest: Load, before: readonly Load[]): Load[] {
    const loads = [latest]
    for (const load of before) {
      if (loads.length === MAX_LOADS) break
      if (load.storedId !== latest.storedId || load.by !== latest.by) loads.push(load)
    }
    return loads
  }
}
