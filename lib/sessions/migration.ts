import type { SessionData } from 'express-session'
import type { Caller } from '../calls/caller'
import { OtherStoreError, UnreadableSessionError, UnserializableSessionError } from '../errors'
import type { ResolvedOptions } from '../options/store-options'
import { encode } from '../record/codec'
import { expiryOf } from '../record/expiry'
import { emptyRow, type SessionRecord } from '../record/session-record'
import { ignoreRejection } from '../runtime/ignore-rejection'
import { startTimer } from '../runtime/natives'
import type { Draft } from './session-writer'
import type { SessionsParts } from './sessions-parts'

/**
 * How long the row of an ended session stays while the session may still be in the other store, in milliseconds. No browser keeps a cookie
 * for longer than 400 days.
 */
export const LONGEST_LIFE_MS = 400 * 86_400_000

/**
 * Carries sessions over from another store, each at its first use here.
 *
 * The row is inserted only if there is none, dead or alive. So of several requests one carries the session over, and a session that was
 * ended here stays dead. A request that does not find the session there looks here once more: another request may have carried it over.
 */
export class Migration {
  private readonly isReadOnly: boolean

  constructor(
    private readonly parts: SessionsParts,
    private readonly source: NonNullable<ResolvedOptions['migrateFrom']>
  ) {
    // A transaction may be rolled back, and the other store has no part in it.
    this.isReadOnly = source.readOnly || parts.transaction !== undefined
  }

  /** Carries the session over if the other store has it. Returns its row here, dead or alive, or null. */
  async carryOver(
    sessionId: string,
    storedId: string,
    caller: Caller,
    draftOf: (session: SessionData) => Draft
  ): Promise<SessionRecord | null> {
    const { records, options, hasLoggedOut } = this.parts
    const session = await this.ask<SessionData>('get', sessionId)
    if (!session) return records.load(storedId, caller)
    const draft = readable(() => draftOf(session))
    const { ownerId, now: createdAt } = draft
    // What the other store returns is alive. Its touch may renew the row alone, and leave the expiry in the session as it was.
    const expiresAt = draft.expiresAt > createdAt ? draft.expiresAt : expiryOf(justSeen(session), options, createdAt, createdAt)
    if (ownerId !== null && (await hasLoggedOut({ storedId, ownerId }))) {
      await this.end(sessionId, storedId)
      return null
    }
    const { data } = await encode(options.codec, draft.storable, storedId)
    await records.insert({ id: storedId, data, expiresAt, ownerId, createdAt }, caller)
    // Once more after the insert: a log-out everywhere that did not find the session here has left its mark before.
    if (ownerId !== null && (await hasLoggedOut({ storedId, ownerId }))) await this.bury(storedId)
    if (!this.isReadOnly) await this.ask('destroy', sessionId).catch(options.onError)
    return records.load(storedId, caller)
  }

  /** Ends the session here and there. */
  async end(sessionId: string, storedId: string): Promise<void> {
    await this.bury(storedId)
    if (!this.isReadOnly) await this.ask('destroy', sessionId)
  }

  /** Ends the session here. Its row stays as long as the session may live in the other store. */
  async bury(storedId: string): Promise<void> {
    const { records, options, bury } = this.parts
    const now = options.clock()
    // A row that has just expired is not pruned yet. With no row at all, a request that has read the session there could still insert it.
    await records.insert(emptyRow(storedId, now, now))
    await bury(storedId, now + LONGEST_LIFE_MS)
  }

  /** Calls the other store. A store may return a promise beside calling back. */
  private ask<Found = void>(method: 'get' | 'destroy', sessionId: string): Promise<Found | null | undefined> {
    const { store } = this.source
    return new Promise((resolve, reject) => {
      const failed = (error: unknown) => {
        timer.stop()
        reject(new OtherStoreError(method, error))
      }
      const found = (session?: Found | null) => {
        timer.stop()
        resolve(session)
      }
      // Later calls wait for this one, so it must end.
      const timer = startTimer(() => failed(undefined), this.parts.options.timeoutMs)
      try {
        const call = store[method] as CallbackMethod<Found>
        ignoreRejection(
          call.call(store, sessionId, (error, session) => (error ? failed(error) : found(session))),
          failed
        )
      } catch (error) {
        failed(error)
      }
    })
  }
}

/** A session that cannot be stored here is unreadable, as a row that holds no session. */
function readable<T>(make: () => T): T {
  try {
    return make()
  } catch (error) {
    throw error instanceof UnserializableSessionError
      ? new UnreadableSessionError('the other store has a session that cannot be stored here')
      : error
  }
}

/** The session with a cookie that has got its life anew, as at a visit. */
function justSeen(session: SessionData): SessionData {
  const { originalMaxAge } = session.cookie
  const maxAge = typeof originalMaxAge === 'number' && originalMaxAge > 0 ? originalMaxAge : undefined
  return { ...session, cookie: { maxAge, originalMaxAge } } as unknown as SessionData
}

type CallbackMethod<Found> = (sessionId: string, callback: (error: unknown, found?: Found | null) => void) => unknown
