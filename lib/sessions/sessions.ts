import type { SessionData } from 'express-session'
import type { Caller } from '../calls/caller'
import { Hidden, InvalidOptionError, UnreadableSessionError } from '../errors'
import { nobody } from '../options/option-functions'
import { asUnreadable, decode, encode } from '../record/codec'
import { detailsIn, putDetails, type SessionDetails, takeDetails } from '../record/details'
import { expiryOf, touchThreshold } from '../record/expiry'
import { beforeTransaction, type KnownRevision } from '../record/known-revision'
import type { SessionRecord } from '../record/session-record'
import { asJson, cookieOf, maxAgeChanged, requireLife, toStorable, withExpiry } from '../record/storable'
import { HASH_LENGTH, plainIdRefusal, storedIdOf } from '../record/stored-id'
import { isPromiseLike, type MaybePromise } from '../runtime/maybe-promise'
import { monotonicNow } from '../runtime/natives'
import { Migration } from './migration'
import { detailsFor, ownerChangeOf, ownerOf } from './owner-of'
import { PlainIdUpgrade } from './plain-id-upgrade'
import type { SessionScan } from './session-scan'
import { type Draft, SessionWriter } from './session-writer'
import type { SessionsParts } from './sessions-parts'
import { beginOf } from './sign-ins'

/** The operations of an express-session store on decoded sessions, with promises instead of callbacks. */
export class Sessions {
  private readonly writer: SessionWriter
  private readonly upgrade: PlainIdUpgrade | undefined
  private readonly migration: Migration | undefined

  constructor(private readonly parts: SessionsParts) {
    this.writer = new SessionWriter(parts)
    const { upgradePlainIds, storedId, migrateFrom } = parts.options
    this.migration = migrateFrom && new Migration(parts, migrateFrom)
    this.upgrade = upgradePlainIds && storedId === 'hashed' ? new PlainIdUpgrade(parts) : undefined
  }

  get isInTransaction(): boolean {
    return this.parts.transaction !== undefined
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
        if (this.upgrade === undefined && this.migration === undefined) return null
        return this.openMoved(sessionId, storedId, caller, record !== null)
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

  /** Runs after the write. If it ran within the write, two sign-ins that end each other's sessions would wait for each other for ever. */
  private signedIn({ storedId, session, ownerId, ownerChange, began, now, createdAt }: Draft, written: Promise<void>): Promise<void> {
    if (ownerChange === 'none' || ownerId === null || began === undefined) return written
    const start = ownerChange === 'sign-in' ? { ...beginOf(session), began } : { began: monotonicNow() - (now - createdAt) }
    return written.then(() => this.parts.afterSignIn({ storedId, ownerId, isNew: ownerChange === 'sign-in', ...start }))
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
      if (shortened || known.hasOtherOwner || maxAgeChanged(cookie.originalMaxAge, known.maxAge))
        return this.save(sessionId, session, caller, 'touch')
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
      if (this.migration === undefined) await this.parts.records.remove(storedId, caller)
      else await this.migration.end(sessionId, storedId)
    })
  }

  /** Ends all sessions of the scan. */
  clear(scan: SessionScan): Promise<void> {
    this.parts.revisions.allEnded()
    return scan.clear((storedIds) => this.endAll(storedIds))
  }

  /** Ends the session with this stored id. A request that still holds it cannot write it back. */
  end(storedId: string): Promise<void> {
    const id = storedId.slice(this.parts.options.prefix.length)
    if (this.upgrade !== undefined && id.length !== HASH_LENGTH) return this.destroy(id)
    this.parts.revisions.ended(storedId)
    return this.parts.order.write(storedId, () => this.migration?.bury(storedId) ?? this.parts.records.remove(storedId))
  }

  /** Ends several sessions, in one statement or a few. In a transaction, one after another: its connection runs one statement at a time. */
  async endAll(storedIds: readonly string[]): Promise<void> {
    if (!this.isInTransaction) return void (await Promise.all(storedIds.map((id) => this.end(id))))
    for (const id of storedIds) await this.end(id)
  }

  /** Ends the session with this stored id if it is alive. Returns whether it was alive. */
  async endIfAlive(storedId: string): Promise<boolean> {
    const row = await this.parts.order.read(storedId, () => this.parts.records.load(storedId))
    if (row === null || !this.isLive(row)) return false
    await this.end(storedId)
    return true
  }

  /** Does the same for a stored id without its prefix, as `ids` returns it. */
  async endById(id: string): Promise<boolean> {
    if (typeof id !== 'string') throw new InvalidOptionError('storedId', 'a stored id, as ids() returns it', new Hidden(id))
    return this.endIfAlive(this.parts.options.prefix + id)
  }

  /** Returns the stored id of a session id, or undefined if nothing can have been stored under it. */
  storedIdIfValid(sessionId: string): string | undefined {
    return this.canExist(sessionId) ? this.storedId(sessionId) : undefined
  }

  /**
   * Decodes the session in a row. Returns null and emits `unreadable` if it cannot be read. A promise only if the codec is async.
   *
   * @param isLoad false if the session is one of a list: then it is not a session that the request has loaded
   */
  open(record: SessionRecord, isLoad = true): MaybePromise<SessionData | null> {
    try {
      const decoded = decode(this.parts.options.codec, record.data, record.id)
      if (!isPromiseLike(decoded)) return this.opened(decoded, record, isLoad)
      return decoded.then((session) => this.opened(session, record, isLoad)).catch((error) => this.unreadable(asUnreadable(error)))
    } catch (error) {
      return this.unreadable(asUnreadable(error))
    }
  }

  /** Opens a session of a list. Returns null if the session cannot be read, also if the option `unreadable` is 'error'. */
  async look(record: SessionRecord): Promise<SessionData | null> {
    try {
      return await this.open(record, false)
    } catch (error) {
      if (error instanceof UnreadableSessionError) return null
      throw error
    }
  }

  /** Returns the details of a session that {@link open} has returned. */
  detailsOf(session: SessionData, storedId: string): SessionDetails | null {
    return this.parts.revisions.of(session, storedId)?.details ?? null
  }

  private opened(session: SessionData, record: SessionRecord, isLoad: boolean): MaybePromise<SessionData> {
    const { codec } = this.parts.options
    const { id: storedId, data, revision, expiresAt, createdAt } = record
    const rewrite = codec.rewrite?.(data) ?? 'not'
    const ownerId = this.hasOwners ? this.ownerIfAny(session) : undefined
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
      details: detailsIn(session),
      began: this.hasOwners ? monotonicNow() : undefined,
      ownerId,
      hasOtherOwner: ownerId !== undefined && ownerId !== record.ownerId,
      transaction: this.parts.transaction
    }
    this.parts.revisions.loaded(session, known, isLoad && this.parts.isCopied())
    // Taken out after the load was remembered, because a merge also compares the details.
    takeDetails(session)
    withExpiry(session, expiresAt)
    if (rewrite !== 'at-once') return session
    const rewritten = this.writer.rewrite(session, known, record.ownerId)
    // A failed rewrite does not fail the load. The next write of the session rewrites it.
    return rewritten.catch(this.parts.options.onError).then(() => session)
  }

  private unreadable(error: unknown): null {
    if (!(error instanceof UnreadableSessionError)) throw error
    this.parts.announce('unreadable', { reason: error.reason })
    if (this.parts.options.unreadable === 'error') throw error
    return null
  }

  /** Looks for the session under its plain id, then in the other store of the option `migrateFrom`. */
  private async openMoved(sessionId: string, storedId: string, caller: Caller, isDead: boolean): Promise<SessionData | null> {
    let record: SessionRecord | null | undefined
    try {
      record = await this.upgrade?.move(sessionId, storedId, caller)
      if (!record && !isDead) {
        record = await this.migration?.carryOver(sessionId, storedId, caller, (session) => this.draft(storedId, session))
      }
    } catch (error) {
      return this.unreadable(error)
    }
    return record && this.isLive(record) ? this.open(record) : null
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
    const ownerId = ownerOf(options, session)
    // If a transaction was rolled back, what it wrote was no sign-in.
    const before = beforeTransaction(known, this.parts.transaction)
    const ownerChange = ownerChangeOf(ownerId, before === undefined ? known : (before ?? undefined))
    const createdAt = ownerChange === 'sign-in' ? now : (known?.createdAt ?? now)
    const expiresAt = expiryOf(session, options, now, createdAt)
    // If the expiry is the loaded one and has passed since, another request may have renewed it.
    const endsNow = expiresAt <= now && expiresAt !== known?.expiresAt
    const isExpiryExact = typeof options.ttlSeconds === 'function' || endsNow || maxAgeChanged(session.cookie.originalMaxAge, known?.maxAge)
    const details = ownerId === null ? undefined : detailsFor(options, session, ownerChange, known)
    putDetails(storable, details)
    const began = this.hasOwners ? (beginOf(session)?.began ?? known?.began ?? monotonicNow()) : undefined
    return {
      storedId,
      session,
      storable,
      createdAt,
      expiresAt,
      isExpiryExact,
      ownerId,
      ownerChange,
      details,
      began,
      now,
      caller,
      operation
    }
  }

  /** True if the option `owner` is given. */
  get hasOwners(): boolean {
    return this.parts.options.owner !== nobody
  }

  /** Returns the owner, or undefined if the option `owner` throws. A load does not fail by it; the next write reports the error. */
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
