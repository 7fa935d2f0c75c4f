import type { SessionData } from 'express-session'
import type { Caller } from '../calls/caller'
import { isOurs, UnreadableSessionError } from '../errors'
import { decode, encode } from '../record/codec'
import { expiryOf, touchThreshold } from '../record/expiry'
import type { KnownRevision } from '../record/known-revision'
import type { SessionRecord } from '../record/session-record'
import { asJson, cookieOf, maxAgeChanged, requireLife, toStorable, withExpiry } from '../record/storable'
import { HASH_LENGTH, plainIdRefusal, storedIdOf } from '../record/stored-id'
import { isPromiseLike, type Soon } from '../runtime/soon'
import { ownerOf } from './owner-of'
import { PlainIdUpgrade } from './plain-id-upgrade'
import type { SessionScan } from './session-scan'
import { type Draft, SessionWriter } from './session-writer'
import type { SessionsParts } from './sessions-parts'

/** The operations of an express-session store on decoded sessions, with promises instead of callbacks. */
export class Sessions {
  private readonly writer: SessionWriter
  private readonly upgrade: PlainIdUpgrade | undefined

  constructor(private readonly parts: SessionsParts) {
    this.writer = new SessionWriter(parts)
    const { upgradePlainIds, storedId } = parts.options
    this.upgrade = upgradePlainIds && storedId === 'hashed' ? new PlainIdUpgrade(parts) : undefined
  }

  /** Returns the session, or null if it does not exist, is dead or cannot be read. */
  load(sessionId: string, caller: Caller): Promise<SessionData | null> {
    if (!this.canExist(sessionId)) return Promise.resolve(null)
    const storedId = this.storedId(sessionId)
    // Must come before anything is awaited.
    if (this.parts.isCopied()) this.parts.revisions.enterLoad(storedId)
    return this.parts.order.read(storedId, () =>
      this.parts.records.load(storedId, caller).then((record) => {
        if (record !== null && this.isLive(record)) return this.open(record)
        return this.upgrade === undefined ? null : this.openMoved(this.upgrade, sessionId, storedId, caller)
      })
    )
  }

  /** Writes the session as it is now, unless it was destroyed or has expired since it was loaded. */
  save(sessionId: string, session: SessionData, caller: Caller, operation: Draft['operation'] = 'set'): Promise<void> {
    const storedId = this.storedId(sessionId)
    const draft = this.draft(storedId, session, caller, operation)
    // Encoded at the call: the caller may change the session while this write waits.
    const encoded = encode(this.parts.options.codec, draft.storable, storedId)
    if (!isPromiseLike(encoded))
      return this.signedIn(
        draft,
        this.parts.order.write(storedId, () => this.writer.write(draft, encoded))
      )
    encoded.catch(() => undefined)
    return this.signedIn(
      draft,
      this.parts.order.write(storedId, async () => this.writer.write(draft, await encoded))
    )
  }

  /** Runs after the write, not in it: ending another session waits for the writes of that one, which may be waiting to end this one. */
  private signedIn({ ownerId, isSignIn }: Draft, written: Promise<void>): Promise<void> {
    if (!isSignIn || ownerId === null) return written
    return written.then(() => this.parts.limitOwner(ownerId))
  }

  /** Renews the expiry, unless that would extend it by less than `touchAfterMs`. */
  touch(sessionId: string, session: SessionData, caller: Caller): Promise<void> {
    if (!this.canExist(sessionId)) return Promise.resolve()
    const cookie = cookieOf(session)
    requireLife(asJson(cookie))
    const { options, order } = this.parts
    const storedId = this.storedId(sessionId)
    const known = this.parts.revisions.of(session, storedId)
    const now = options.clock()
    const expiresAt = expiryOf(session, options, now, known?.createdAt ?? now)
    if (known !== undefined) {
      const shortened = expiresAt < known.expiresAt && typeof options.ttlSeconds === 'function'
      // express-session calls touch, not set, when only the cookie was changed.
      if (shortened || maxAgeChanged(cookie.originalMaxAge, known.maxAge)) return this.save(sessionId, session, caller, 'touch')
      const moved = expiresAt - known.expiresAt
      if (moved < touchThreshold(options.touchAfterMs, expiresAt - now)) return Promise.resolve()
    }
    return order.write(storedId, () => this.writer.renew(storedId, session, expiresAt, caller))
  }

  /** Ends the session. A request that still holds it cannot write it back. */
  async destroy(sessionId: string, caller?: Caller): Promise<void> {
    if (!this.canExist(sessionId)) return
    const storedId = this.storedId(sessionId)
    this.parts.revisions.ended(storedId)
    return this.parts.order.write(storedId, async () => {
      await this.upgrade?.remove(sessionId, storedId, caller)
      await this.parts.records.remove(storedId, caller)
    })
  }

  /** Ends all sessions of the scan. */
  clear(scan: SessionScan): Promise<void> {
    this.parts.revisions.allEnded()
    return scan.clear((storedId) => this.end(storedId))
  }

  /** Ends the session with this stored id. A request that still holds it cannot write it back. */
  end(storedId: string): Promise<void> {
    const id = storedId.slice(this.parts.options.prefix.length)
    if (this.upgrade !== undefined && id.length !== HASH_LENGTH) return this.destroy(id)
    this.parts.revisions.ended(storedId)
    return this.parts.order.write(storedId, () => this.parts.records.remove(storedId))
  }

  /** Returns the stored id of a session id, or undefined if nothing can have been stored under it. */
  storedIdIfValid(sessionId: string): string | undefined {
    return this.canExist(sessionId) ? this.storedId(sessionId) : undefined
  }

  /** Decodes the session in a row. Returns null and emits `unreadable` if it cannot be read. A promise only if the codec is async. */
  open(record: SessionRecord): Soon<SessionData | null> {
    try {
      const decoded = decode(this.parts.options.codec, record.data, record.id)
      if (!isPromiseLike(decoded)) return this.opened(decoded, record)
      return decoded.then((session) => this.opened(session, record)).catch((error) => this.unreadable(asUnreadable(error)))
    } catch (error) {
      return this.unreadable(asUnreadable(error))
    }
  }

  private opened(session: SessionData, record: SessionRecord): Soon<SessionData> {
    const { codec } = this.parts.options
    const { id: storedId, data, revision, expiresAt, createdAt } = record
    const rewrite = codec.rewrite?.(data) ?? 'not'
    const known: KnownRevision = {
      storedId,
      revision,
      data,
      base: data,
      // Taken before `withExpiry`: the expiry is not compared.
      comparable: codec.comparable?.(session) ?? data,
      expiresAt,
      createdAt,
      maxAge: session.cookie.originalMaxAge,
      isOutdated: rewrite !== 'not',
      isByHand: false,
      ownerId: this.limitsOwners ? this.ownerIfAny(session) : undefined,
      transaction: this.parts.transaction
    }
    this.parts.revisions.loaded(session, known, this.parts.isCopied())
    withExpiry(session, expiresAt)
    if (rewrite !== 'at-once') return session
    const rewritten = (async () => this.writer.rewrite(this.draft(storedId, session), known))()
    // A failed rewrite does not fail the load. The next write of the session rewrites it.
    return rewritten.catch(this.parts.options.onError).then(() => session)
  }

  private unreadable(error: unknown): null {
    if (!(error instanceof UnreadableSessionError)) throw error
    this.parts.announce('unreadable', { reason: error.reason })
    if (this.parts.options.unreadable === 'error') throw error
    return null
  }

  private async openMoved(upgrade: PlainIdUpgrade, sessionId: string, storedId: string, caller: Caller): Promise<SessionData | null> {
    let record: SessionRecord | null
    try {
      record = await upgrade.move(sessionId, storedId, caller)
    } catch (error) {
      return this.unreadable(error)
    }
    return record !== null && this.isLive(record) ? this.open(record) : null
  }

  private isLive({ expiresAt, createdAt }: SessionRecord): boolean {
    const { clock, maxLifetimeSeconds } = this.parts.options
    const now = clock()
    return expiresAt > now && createdAt + maxLifetimeSeconds * 1000 > now
  }

  private draft(storedId: string, session: SessionData, caller?: Caller, operation: Draft['operation'] = 'set'): Draft {
    const { options, revisions } = this.parts
    const known = revisions.find(session, storedId)
    const storable = toStorable(session, known)
    const now = options.clock()
    const expiresAt = expiryOf(session, options, now, known?.createdAt ?? now)
    // If the expiry is the loaded one and has passed since, another request may have renewed it.
    const endsNow = expiresAt <= now && expiresAt !== known?.expiresAt
    const isExpiryExact = typeof options.ttlSeconds === 'function' || endsNow || maxAgeChanged(session.cookie.originalMaxAge, known?.maxAge)
    const ownerId = ownerOf(options, session)
    const isSignIn = this.limitsOwners && ownerId !== null && ownerId !== known?.ownerId
    return { storedId, session, storable, expiresAt, isExpiryExact, ownerId, isSignIn, now, caller, operation }
  }

  private get limitsOwners(): boolean {
    return Number.isFinite(this.parts.options.maxSessionsPerOwner)
  }

  /** Returns undefined if the option `owner` throws: a load does not fail by it. The next write reports the error. */
  private ownerIfAny(session: SessionData): string | null | undefined {
    try {
      return ownerOf(this.parts.options, session)
    } catch {
      return undefined
    }
  }

  private storedId(sessionId: string): string {
    return storedIdOf(sessionId, this.parts.options)
  }

  /** False for an id under which nothing can have been stored. The caller gets "no session", not an error. */
  private canExist(sessionId: string): boolean {
    const { storedId, prefix } = this.parts.options
    return storedId === 'hashed' || typeof sessionId !== 'string' || plainIdRefusal(sessionId, prefix) === undefined
  }
}

/** Replaces other errors of a codec, because they may show the session. */
function asUnreadable(error: unknown): unknown {
  return isOurs(error) ? error : new UnreadableSessionError('its codec threw')
}
