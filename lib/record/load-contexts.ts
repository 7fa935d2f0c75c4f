import { AsyncLocalStorage } from 'node:async_hooks'
import type { SessionCodec } from './codec'
import { type KnownRevision, useDigested } from './known-revision'

/** One load of a session, kept in the async context that asked for it. */
interface Load {
  /** Identifies the store: each store sees only its own loads. */
  readonly by: object
  readonly storedId: string
  readonly era: number
  /** Undefined before the row arrives, if no session was found, and after the same context has ended the session. */
  known: KnownRevision | undefined
}

/** A request loads one session, rarely two. Without a limit, a context in which many sessions are loaded would keep them all in memory. */
const MAX_LOADS = 2

const contexts = new AsyncLocalStorage<readonly Load[]>()

/**
 * Remembers what the running request has loaded, by its async context. It recognises a copy that shares no object with the session that
 * `get` returned. Each load enters an async context of its own, so two requests that began together do not see each other's later loads.
 */
export class LoadContexts {
  /**
   * @param by identifies the store
   * @param era loads from before the last reset are ignored
   */
  constructor(
    private readonly by: object,
    private readonly era: { readonly resets: number }
  ) {}

  /**
   * Enters the context of a load that is about to begin. Call it before anything is awaited, so that the code after the caller's callback
   * or `await` runs in this context. If a session is loaded twice, the later load counts.
   */
  enter(storedId: string): void {
    const load: Load = { by: this.by, storedId, era: this.era.resets, known: undefined }
    const before = contexts.getStore()
    contexts.enterWith(before === undefined ? [load] : this.withLatest(load, before))
  }

  /** What this context has loaded under the id, unless it has ended the session since. */
  find(storedId: string): KnownRevision | undefined {
    return this.load(storedId)?.known
  }

  /** Fills in the load when its row has arrived. */
  loaded(known: KnownRevision, codec: SessionCodec, session: object): void {
    const load = this.load(known.storedId)
    if (load !== undefined) useDigested(known, codec, session, (small) => (load.known = small))
  }

  /** After a save in the context of a load, the next save continues from the saved revision. */
  saved(known: KnownRevision, codec: SessionCodec): void {
    const load = this.load(known.storedId)
    if (load?.known === undefined) return
    load.known = known
    useDigested(known, codec, undefined, (small) => {
      if (load.known === known) load.known = small
    })
  }

  /** Forgets the load, because this context has ended the session. A session that is set under the id later is a new one. */
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
