import type { SessionData } from 'express-session'
import type { Caller } from '../calls/caller'
import { UNKNOWN_REVISION } from '../dialects/dialect'
import { SessionConflictError, SessionTooLargeError } from '../errors'
import { decode, type EncodedSession, encode } from '../record/codec'
import { putDetails, type SessionDetails, takeDetails } from '../record/details'
import { expiryOf } from '../record/expiry'
import { beforeTransaction, isKnownText, type KnownRevision } from '../record/known-revision'
import { mergeSessions } from '../record/merge'
import type { SessionRecord } from '../record/session-record'
import { toStorable } from '../record/storable'
import { type OwnerChange, ownerOf } from './owner-of'
import type { SessionsParts } from './sessions-parts'
import { type PendingUpdate, type Version, verdictOn } from './verdict'

/** A round fails only if another request wrote meanwhile. This many failures in a row mean too much traffic on one session. */
const MAX_ROUNDS = 20

/** One `set` or `touch`: what the caller asked to be written. */
export interface Draft {
  readonly storedId: string
  /** The caller's object. Its revision is remembered with it. */
  readonly session: SessionData
  /** The session that is encoded. */
  readonly storable: SessionData
  readonly expiresAt: number
  /** True if the row gets exactly this expiry, even if the row's own is later. */
  readonly isExpiryExact: boolean
  /** When the session began, in milliseconds since the epoch: with a sign-in it begins anew. */
  readonly createdAt: number
  readonly ownerId: string | null
  readonly ownerChange: OwnerChange
  readonly details: SessionDetails | undefined
  /** When the request got its session, by `monotonicNow`. */
  readonly began: number | undefined
  readonly now: number
  /** A touch never revives a dead session. */
  readonly operation: 'set' | 'touch'
  /** The write is given up with this caller. */
  readonly caller: Caller | undefined
}

/** What a merge needs of the row. */
type CurrentRow = Pick<SessionRecord, 'data' | 'createdAt'>

/** Decides how a session is written: inserted, updated at its revision, merged, touched or dropped. */
export class SessionWriter {
  constructor(private readonly parts: SessionsParts) {}

  write(draft: Draft, encoded: EncodedSession): Promise<void> {
    this.refuseTooLarge(encoded.data)
    const known = this.parts.revisions.of(draft.session, draft.storedId)
    if (known === undefined) return this.put(draft, encoded)
    const before = beforeTransaction(known, this.parts.transaction)
    if (before !== undefined) return this.afterTransaction(draft, encoded, known, before)
    return this.writeKnown(draft, encoded, known)
  }

  /** Writes a session whose last write was in a transaction. If that was rolled back, what was known before it counts. */
  private async afterTransaction(draft: Draft, encoded: EncodedSession, known: KnownRevision, before: KnownRevision | null): Promise<void> {
    const row = await this.parts.records.load(draft.storedId, draft.caller)
    const isCommitted = row?.revision === known.revision && isKnownText(row.data, 'data', known)
    if (before === null && row === null) return this.put(draft, encoded)
    const resolved = (isCommitted ? undefined : before) ?? { ...known, before: undefined }
    this.parts.revisions.remember(draft.session, resolved)
    return this.writeKnown(draft, encoded, resolved)
  }

  private writeKnown(draft: Draft, encoded: EncodedSession, known: KnownRevision): Promise<void> {
    const shortened = draft.isExpiryExact && draft.expiresAt < known.expiresAt
    // Unchanged: Fastify sets the whole session on every request, and so does express-session with `resave`.
    if (isKnownText(encoded.comparable, 'comparable', known) && !shortened && !known.isOutdated && !known.hasOtherOwner && !known.isByHand)
      return this.renew(draft.storedId, draft.session, draft.expiresAt, draft.caller)
    return this.update(draft, encoded, known)
  }

  /** Writes a session that was just loaded again, as the codec encodes it today, unless another request has changed it. All else stays. */
  async rewrite(session: SessionData, known: KnownRevision, ownerId: string | null): Promise<void> {
    const { records, options, revisions } = this.parts
    const { storedId: id, revision, expiresAt } = known
    const storable = toStorable(session, known)
    putDetails(storable, known.details)
    const { data, comparable } = await encode(options.codec, storable, id)
    const hit = await records.update({ id, revision, data, expiresAt, ownerId })
    if (hit) revisions.remember(session, { ...known, revision: revision + 1, data, base: data, comparable, isOutdated: false })
  }

  /** Renews the expiry of a session if it is alive. */
  renew(storedId: string, session: SessionData, expiresAt: number, caller: Caller | undefined): Promise<void> {
    const { records, revisions, announce } = this.parts
    return records.touch({ id: storedId, expiresAt }, caller).then((alive) => {
      const known = revisions.of(session, storedId)
      if (known === undefined) return
      if (alive) revisions.remember(session, { ...known, expiresAt: Math.max(known.expiresAt, expiresAt) })
      else announce('dropped', { operation: 'touch' })
    })
  }

  /** Writes a session that was never loaded: a new one, or one that was written by hand. */
  private put(draft: Draft, encoded: EncodedSession): Promise<void> {
    const { records, announce } = this.parts
    const record = {
      id: draft.storedId,
      data: encoded.data,
      expiresAt: draft.expiresAt,
      ownerId: draft.ownerId,
      createdAt: draft.createdAt
    }
    const isByHand = isPlain(draft.session)
    const wins = isByHand || isNew(draft.session)
    const written: Promise<number | null> = wins ? records.put(record, draft.caller) : records.putUnlessDead(record, draft.caller)
    return written.then((revision) => {
      if (revision === null) announce('dropped', { operation: 'set' })
      else this.remember(draft, encoded, { revision, data: encoded.data, isByHand })
    })
  }

  /** Writes a loaded session at its revision. If the row has changed, the conflict policy decides. A dead session is not written. */
  private async update(draft: Draft, encoded: EncodedSession, known: KnownRevision): Promise<void> {
    const { records, options } = this.parts
    // After an earlier merge only the row has the other requests' changes.
    const holdsMore = known.base !== known.data && known.digests === undefined
    const version = holdsMore ? await this.merge(draft, encoded, known, known) : asDrafted(draft, encoded)
    let update = this.begin(draft, known, version)
    for (let round = 1; round <= MAX_ROUNDS; round++) {
      if (update.isCertain && (await this.attempt(draft, update))) return this.written(draft, encoded, update, update.revision + 1)
      const row = await records.load(draft.storedId, draft.caller)
      const revision = row?.revision ?? update.revision
      switch (verdictOn(update, row, options.clock())) {
        case 'dead':
          return this.refuseDead(draft, encoded, known)
        case 'already-written':
          return this.written(draft, encoded, update, revision)
        case 'as-loaded':
          update = { ...update, revision, isCertain: true }
          break
        case 'changed':
          update = { ...update, revision, isCertain: true, version: await this.reconcile(draft, encoded, update, row as SessionRecord) }
      }
    }
    throw new SessionConflictError(`${MAX_ROUNDS} tries to merge the changes failed`)
  }

  private begin({ isExpiryExact }: Draft, known: KnownRevision, version: Version): PendingUpdate {
    const isRevisionUnknown = known.revision === UNKNOWN_REVISION || (known.digests !== undefined && known.base !== known.data)
    const isOfTransaction = known.transaction !== undefined && known.transaction !== this.parts.transaction
    const isCertain = !isRevisionUnknown && !isOfTransaction
    return { known, version, revision: known.revision, isRevisionUnknown, isCertain, isExpiryExact }
  }

  /** Writes the row if it is alive and at the revision. Returns whether it was. */
  private attempt(draft: Draft, { revision, version: { data, expiresAt, ownerId }, isExpiryExact }: PendingUpdate): Promise<boolean> {
    const record = { id: draft.storedId, revision, data, expiresAt, ownerId }
    const { records } = this.parts
    const isSignIn = draft.ownerChange === 'sign-in'
    if (!isExpiryExact && !isSignIn) return records.update(record, draft.caller)
    return records.updateWithLife({ ...record, isExpiryExact, createdAt: isSignIn ? draft.createdAt : null }, draft.caller)
  }

  /** Drops the write. But a session that was set by hand is no copy of the dead one, so it is written again. */
  private refuseDead(draft: Draft, encoded: EncodedSession, known: KnownRevision): Promise<void> | void {
    if (known.isByHand && draft.operation === 'set') return this.put({ ...draft, createdAt: draft.now }, encoded)
    this.parts.announce('dropped', { operation: draft.operation })
  }

  /** Applies the conflict policy to a row that another request has changed. Returns what to write next. */
  private async reconcile(draft: Draft, encoded: EncodedSession, { known, version }: PendingUpdate, current: CurrentRow): Promise<Version> {
    const { announce, options } = this.parts
    if (options.conflict === 'merge') return this.merge(draft, encoded, known, current)
    announce('conflict', { policy: options.conflict, keys: [] })
    if (options.conflict === 'error') throw new SessionConflictError("the option conflict is 'error'")
    return version
  }

  private written(draft: Draft, encoded: EncodedSession, { known, version }: PendingUpdate, revision: number): void {
    const { contested, data } = version
    if (contested.length > 0) this.parts.announce('conflict', { policy: 'merge', keys: contested })
    this.remember(draft, encoded, { revision, data, isByHand: known.isByHand })
  }

  /** Merges the session's changes since it was loaded with the stored row. */
  private async merge(draft: Draft, encoded: EncodedSession, known: KnownRevision, current: CurrentRow): Promise<Version> {
    const { options } = this.parts
    const open = (data: string) => decode(options.codec, data, draft.storedId)
    if (known.digests !== undefined && known.digests.base === undefined) {
      throw new SessionConflictError('the changes cannot be merged, because a copy of the loaded session was set and it has too many keys')
    }
    const before = known.digests?.base ?? open(known.base)
    const [base, ours, theirs] = await Promise.all([before, open(encoded.data), open(current.data)])
    const { merged, contested } = mergeSessions(base, ours, theirs)
    const session = merged as unknown as SessionData
    const details = takeDetails(session)
    // The other request may have changed the owner, begun the session anew, or changed what a ttlSeconds function looks at.
    const createdAt = Math.max(draft.createdAt, current.createdAt)
    // The stored cookie has no expiry.
    const dated = typeof options.ttlSeconds === 'function' ? session : draft.session
    const isSame = dated === draft.session && createdAt === draft.createdAt
    const expiresAt = isSame ? draft.expiresAt : expiryOf(dated, options, draft.now, createdAt)
    const ownerId = ownerOf(options, session)
    putDetails(session, ownerId === null ? undefined : details)
    const { data } = await encode(options.codec, session, draft.storedId)
    this.refuseTooLarge(data)
    return { data, expiresAt, ownerId, contested }
  }

  private refuseTooLarge(data: string): void {
    const { maxDataBytes } = this.parts.options
    // A character is three bytes at most, so the bytes of a short text need not be counted.
    if (data.length * 3 <= maxDataBytes) return
    const bytes = Buffer.byteLength(data)
    if (bytes > maxDataBytes) throw new SessionTooLargeError(bytes, maxDataBytes)
  }

  private remember(draft: Draft, encoded: EncodedSession, row: Pick<KnownRevision, 'revision' | 'data' | 'isByHand'>): void {
    const { transaction, revisions } = this.parts
    revisions.remember(draft.session, {
      ...row,
      before: transaction && beforeWrite(revisions.of(draft.session, draft.storedId)),
      storedId: draft.storedId,
      base: encoded.data,
      comparable: encoded.comparable,
      createdAt: draft.createdAt,
      expiresAt: draft.expiresAt,
      maxAge: draft.storable.cookie.originalMaxAge,
      isOutdated: false,
      ownerId: draft.ownerId,
      details: draft.details,
      began: draft.began,
      transaction
    })
  }
}

/** What was known before the first write in the transaction: null if there was nothing. */
function beforeWrite(known: KnownRevision | undefined): KnownRevision | null {
  return (known?.before === undefined ? known : known.before) ?? null
}

function asDrafted({ expiresAt, ownerId }: Draft, { data }: EncodedSession): Version {
  return { data, expiresAt, ownerId, contested: [] }
}

/** True for a plain object. If it was never loaded, it was written by hand. */
function isPlain(session: SessionData): boolean {
  const prototype = Object.getPrototypeOf(session)
  return prototype === null || prototype === Object.prototype || Object.getPrototypeOf(prototype) === null
}

/**
 * True for a session object of express-session. If the store did not load it, it is new. An object of another class, such as Fastify's
 * session, may have been loaded before without the store recognising it.
 */
function isNew(session: SessionData): boolean {
  return typeof (session as { resetMaxAge?: unknown }).resetMaxAge === 'function'
}
