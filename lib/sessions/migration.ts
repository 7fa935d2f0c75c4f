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
 * How long the dead row of a session stays if the other store may still have the session, in milliseconds. No browser keeps a cookie for
 * longer than 400 days.
 */
export const LONGEST_LIFE_MS = 400 * 86_400_000

/**
 * Carries sessions over from another store, each session at its first use here.
 *
 * A row is inserted only if there is no row yet, dead or alive. So if several requests carry over the same session, one succeeds, and a
 * session that was ended here stays dead. If the other store does not have the session, this table is read once more, because another
 * request may have carried it over meanwhile.
 */
export class Migration {
  private readonly isReadOnly: boolean

  constructor(
    private readonly parts: SessionsParts,
    private readonly source: NonNullable<ResolvedOptions['migrateFrom']>
  ) {
    // In a transaction nothing is deleted there: a rollback would not bring it back.
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
    // A session that the other store returns is alive. If its cookie has expired, a touch in the other store has renewed only the row.
    const expiresAt = draft.expiresAt > createdAt ? draft.expiresAt : expiryOf(justSeen(session), options, createdAt, createdAt)
    if (ownerId !== null && (await hasLoggedOut({ storedId, ownerId }))) {
      await this.end(sessionId, storedId)
      return null
    }
    const { data } = await encode(options.codec, draft.storable, storedId)
    await records.insert({ id: storedId, data, expiresAt, ownerId, createdAt }, caller)
    // Asked again after the insert: a log-out everywhere that came too early to find the inserted session has left its mark by now.
    if (ownerId !== null && (await hasLoggedOut({ storedId, ownerId }))) await this.bury(storedId)
    if (!this.isReadOnly) await this.ask('destroy', sessionId).catch(options.onError)
    return records.load(storedId, caller)
  }

  /** Ends the session in both stores. */
  async end(sessionId: string, storedId: string): Promise<void> {
    await this.bury(storedId)
    if (!this.isReadOnly) await this.ask('destroy', sessionId)
  }

  /** Ends the session here. Its row stays as long as the session may live in the other store. */
  async bury(storedId: string): Promise<void> {
    const { records, options, bury } = this.parts
    const now = options.clock()
    // If there is no row here, inserts a dead one. Without it, a request that has already read the session in the other store could still
    // insert it. The row expires now and not earlier, so it is not pruned before it is buried.
    await records.insert(emptyRow(storedId, now, now))
    await bury(storedId, now + LONGEST_LIFE_MS)
  }

  /** Calls the other store. A store may call back, and return a promise as well. */
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
      // Later writes of the session wait for this call, so it must end.
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

/** Calls `make`. A session that cannot be stored here counts as unreadable, like a row that holds no session. */
function readable<T>(make: () => T): T {
  try {
    return make()
  } catch (error) {
    throw error instanceof UnserializableSessionError
      ? new UnreadableSessionError('the other store has a session that cannot be stored here')
      : error
  }
}

/** Returns the session with a renewed cookie, as if the visitor had just sent a request. */
function justSeen(session: SessionData): SessionData {
  const { originalMaxAge } = session.cookie
  const maxAge = typeof originalMaxAge === 'number' && originalMaxAge > 0 ? originalMaxAge : undefined
  return { ...session, cookie: { maxAge, originalMaxAge } } as unknown as SessionData
}

type CallbackMethod<Found> = (sessionId: string, callback: (error: unknown, found?: Found | null) => void) => unknown
