import type { SessionData } from 'express-session'
import type { ConnectionBudget } from '../batching/connection-budget'
import type { WriteOrder } from '../batching/write-order'
import { Hidden, InvalidOptionError } from '../errors'
import type { Announce } from '../events'
import type { SessionDetails } from '../record/details'
import { handleOf, textRefusal } from '../record/stored-id'
import { takeTurns } from '../runtime/event-loop'
import type { ScanRange } from '../table/live-rows'
import type { OwnedPlace, OwnerCount } from '../table/owner-scan'
import type { SessionTable } from '../table/session-table'
import type { Page } from '../table/table-scan'
import { refuseUnknown } from '../unknown-option'
import type { Sessions } from './sessions'
import { isKept, type LogOuts, type MovedSession, markIdOf, type SignIn } from './sign-ins'

/** The id of an owner, as the option `owner` returns it. 7, 7n and `'7'` are the same owner. */
export type OwnerId = string | number | bigint

/** One live session of an owner. */
export interface OwnedSession {
  /**
   * Identifies the session in a URL or a form. It is a hash of the stored id, and nobody can find the session id from it. Pass it to
   * `destroyHandle`, `except` or `after`.
   */
  readonly handle: string
  /** True for the session of the option `current`. */
  readonly isCurrent: boolean
  /** When the session began, in milliseconds since the epoch. At a sign-in, a session begins anew. */
  readonly createdAt: number
  /** When the session was last written or touched, in milliseconds since the epoch. A touch may be missing for up to `touchAfterMs`. */
  readonly lastSeenAt: number
  /** When the session ends, in milliseconds since the epoch. */
  readonly expiresAt: number
  /** The result of the option `details` when the session got its owner. Null if there is none. */
  readonly details: SessionDetails | null
  /** The session data; null if the row cannot be read. */
  readonly session: SessionData | null
}

/** Options of `store.ofOwner`. */
export interface OfOwnerOptions {
  /** The maximum number of sessions, 1 to 1000. @default 100 */
  limit?: number
  /** The last session on the page before, or its handle. A handle alone is refused once its session has ended. @default the first page */
  after?: string | Pick<OwnedSession, 'handle' | 'createdAt'>
  /** The session of the visitor who asks: a request, a session id or a handle. This session has `isCurrent: true`. @default none */
  current?: string | { readonly sessionID?: string }
}

/** Options of `store.destroyOwner`. */
export interface DestroyOwnerOptions {
  /** The session to keep: a request, a session id or a handle. @default none */
  except?: string | { readonly sessionID?: string }
}

interface OwnersParts {
  /** The log-outs everywhere in this process. */
  readonly logOuts: LogOuts
  readonly table: SessionTable
  readonly budget: ConnectionBudget
  readonly order: WriteOrder
  readonly sessions: Sessions
  readonly announce: Announce
  /** How long the mark of a log-out everywhere stays, in milliseconds. Undefined for the usual grace. */
  readonly markMs: number | undefined
  readonly range: ScanRange
  /** The range without sessions older than `maxLifetimeSeconds`. Such sessions are not shown, but a log-out has to end them too. */
  readonly shown: ScanRange
  /** Limits the time of one step. */
  readonly bound: <T>(operation: string, step: Promise<T>) => Promise<T>
}

const DEFAULT_LIMIT = 100
const MAX_LIMIT = 1000
const ENDED_AT_ONCE = 256

/** Lists, counts and ends the sessions of one owner. */
export class Owners {
  constructor(private readonly parts: OwnersParts) {}

  /** Returns the live sessions of the owner, the newest first. */
  async list(ownerId: OwnerId, options?: OfOwnerOptions): Promise<OwnedSession[]> {
    const { table, shown, sessions } = this.parts
    const owner = requireOwnerId(ownerId)
    const { limit = DEFAULT_LIMIT, after, current } = checkedOptions(options, ['limit', 'after', 'current'], 'ofOwner')
    const currentHandles = this.handlesOf('current', current)
    if (!Number.isSafeInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
      throw new InvalidOptionError('limit', `a whole number from 1 to ${MAX_LIMIT}`, limit)
    }
    await this.settled('ofOwner')
    const place = after === undefined ? undefined : await this.placeAfter(owner, after)
    const records = await this.step('ofOwner', () => table.ofOwner(shown, owner, place, limit))
    return Promise.all(
      records.map(async ({ id, createdAt, lastSeenAt, expiresAt, ...row }) => {
        const session = await sessions.look({ id, createdAt, expiresAt, ...row })
        const details = session && sessions.detailsOf(session, id)
        const handle = handleOf(id)
        return { handle, isCurrent: currentHandles.includes(handle), createdAt, lastSeenAt, expiresAt, details, session }
      })
    )
  }

  /** Ends all sessions of the owner, except the one to keep. Returns how many it ended. */
  async destroyAll(ownerId: OwnerId, options?: DestroyOwnerOptions): Promise<number> {
    const owner = requireOwnerId(ownerId)
    const { except } = checkedOptions(options, ['except'], 'destroyOwner')
    const kept = this.handlesOf('except', except).map(handleOf)
    const logOut = this.parts.logOuts.begin(kept, typeof except === 'object' ? except : undefined)
    const { mark } = logOut
    await this.settled('destroyOwner')
    // The mark is written before the sessions are read. So a sign-in that is written later finds the mark, and the read finds a sign-in
    // that was written before.
    const markId = this.markId(owner)
    await this.step('destroyOwner', () => this.parts.table.mark(markId, mark, this.parts.markMs))
    // In a transaction, only the mark in the table counts, because the transaction may be rolled back.
    if (!this.parts.sessions.isInTransaction) this.parts.logOuts.add(markId, logOut)
    let ended = 0
    for await (const places of this.pages('destroyOwner', owner)) {
      const ending = places.filter(({ id }) => !isKept(mark, id))
      await this.parts.bound('destroyOwner', this.parts.sessions.endAll(ending.map(({ id }) => id)))
      ended += ending.length
    }
    return ended
  }

  /** Ends the session with this handle if it belongs to the owner. Returns whether there was one. */
  async destroy(handle: string, options: { readonly ownerId: OwnerId }): Promise<boolean> {
    const owner = requireOwnerId(checkedOptions(options, ['ownerId'], 'destroyHandle').ownerId)
    if (typeof handle !== 'string') throw new InvalidOptionError('handle', 'a handle of store.ofOwner', new Hidden(handle))
    await this.settled('destroyHandle')
    const place = await this.placeOf(owner, handle)
    if (place === undefined) return false
    await this.parts.bound('destroyHandle', this.parts.sessions.end(place.id))
    return true
  }

  /**
   * Called after a sign-in was written. If the owner has logged out everywhere since the sign-in began, ends the new session. Otherwise
   * ends all sessions of the owner but the newest `most`. If that fails, `onError` gets the error, and the next sign-in tries again.
   *
   * If the mark cannot be read, it is unknown whether the owner has logged out. Then this ends the new session and rejects.
   */
  async signedIn(signIn: SignIn, most: number, onError: (error: unknown) => void): Promise<void> {
    const { table, bound, sessions, announce } = this.parts
    const markId = this.markId(signIn.ownerId)
    const askMark = () => this.step('set', () => table.markOf(markId))
    const isOver = await this.parts.logOuts.include(signIn, markId, askMark).catch(async (error) => {
      await bound('set', sessions.end(signIn.storedId)).catch(onError)
      throw error
    })
    if (isOver) {
      const wasAlive = await bound('set', sessions.endIfAlive(signIn.storedId))
      if (wasAlive) announce('dropped', { operation: 'set' })
    } else if (signIn.isNew && Number.isFinite(most)) await this.limit(signIn.ownerId, most).catch(onError)
  }

  /**
   * Returns whether the owner has logged out everywhere without keeping this session. If the age of the session is given, only a log-out
   * after the beginning of the session counts.
   */
  async hasLoggedOut({ storedId, ownerId, ageMs }: MovedSession): Promise<boolean> {
    const mark = await this.step('get', () => this.parts.table.markOf(this.markId(ownerId)))
    return mark !== undefined && !isKept(mark, storedId) && mark.agoMs < (ageMs ?? Number.POSITIVE_INFINITY)
  }

  private async limit(owner: string, most: number): Promise<void> {
    const { table, shown: range, bound, sessions } = this.parts
    let newest = await this.step('set', () => table.placesOfOwner(range, owner, undefined, most))
    while (newest.length > 0) {
      const last = newest.at(-1)
      newest = await this.step('set', () => table.placesOfOwner(range, owner, last, ENDED_AT_ONCE))
      await bound('set', sessions.endAll(newest.map(({ id }) => id)))
      if (newest.length < ENDED_AT_ONCE) return
    }
  }

  /** Returns the number of live sessions of the owner. */
  async count(ownerId: OwnerId): Promise<number> {
    const owner = requireOwnerId(ownerId)
    await this.settled('countOf')
    return this.step('countOf', () => this.parts.table.countOf(this.parts.shown, owner))
  }

  /** Returns the number of live sessions of each owner. */
  async counts(): Promise<Map<string, number>> {
    const counts = new Map<string, number>()
    await this.settled('countByOwner')
    let after: string | undefined = ''
    while (after !== undefined) {
      const page: Page<OwnerCount[]> = await this.step('countByOwner', () =>
        this.parts.table.countByOwner(this.parts.shown, after as string)
      )
      for (const { ownerId, count } of page.found) counts.set(ownerId, count)
      after = page.next
      if (after !== undefined) await takeTurns()
    }
    return counts
  }

  /** Waits for all writes in flight, so that the statements of this call see them. */
  private settled(operation: string): Promise<void> {
    return this.parts.bound(operation, this.parts.order.settled())
  }

  private step<T>(operation: string, statement: () => Promise<T>): Promise<T> {
    return this.parts.bound(operation, this.parts.budget.use(statement))
  }

  /**
   * Returns the place after which the next page begins. If the session of `after` has ended, only its `createdAt` can say where. So a
   * handle alone is refused then.
   */
  private async placeAfter(owner: string, after: NonNullable<OfOwnerOptions['after']>): Promise<OwnedPlace> {
    const { handle, createdAt } = typeof after === 'object' && after !== null ? after : { handle: after, createdAt: undefined }
    const place = await this.placeOf(owner, handle)
    if (Number.isFinite(createdAt)) return { id: place?.id ?? '', createdAt: createdAt as number }
    if (place !== undefined) return place
    throw new InvalidOptionError(
      'after',
      'the last session on the page before, or the handle of a live session of this owner',
      new Hidden(after)
    )
  }

  private async placeOf(owner: string, handle: string): Promise<OwnedPlace | undefined> {
    for await (const places of this.pages('ofOwner', owner)) {
      const place = places.find(({ id }) => handleOf(id) === handle)
      if (place !== undefined) return place
    }
    return undefined
  }

  private async *pages(operation: string, owner: string): AsyncGenerator<OwnedPlace[]> {
    const { table, range } = this.parts
    let last: OwnedPlace | undefined
    for (;;) {
      const places: OwnedPlace[] = await this.step(operation, () => table.placesOfOwner(range, owner, last, ENDED_AT_ONCE))
      if (places.length > 0) yield places
      if (places.length < ENDED_AT_ONCE) return
      last = places.at(-1)
    }
  }

  /** Returns every handle that the session may have. A text may be a session id or already a handle, and its form does not tell which. */
  private handlesOf(option: string, of: DestroyOwnerOptions['except']): string[] {
    if (of === undefined) return []
    const given = typeof of === 'object' && of !== null ? of.sessionID : of
    if (typeof given !== 'string') {
      throw new InvalidOptionError(option, 'a request with a sessionID, a session id or a handle', new Hidden(of))
    }
    const storedId = this.parts.sessions.storedIdIfValid(given)
    // With upgradePlainIds, the row may still have the plain id.
    return [given, handleOf(this.parts.range.prefix + given), ...(storedId === undefined ? [] : [handleOf(storedId)])]
  }

  private markId(owner: string): string {
    return markIdOf(this.parts.range.prefix, owner)
  }
}

/** Refuses unknown options: with a misspelt `except`, the log-out would end the session that the caller wants to keep. */
function checkedOptions<Options extends object>(options: Options | undefined, names: readonly string[], method: string): Partial<Options> {
  if (options === undefined) return {}
  if (typeof options !== 'object' || options === null || 'sessionID' in options) {
    throw new InvalidOptionError(`the second argument of ${method}()`, `an object with ${names.join(', ')}`, new Hidden(options))
  }
  refuseUnknown(options, names)
  return options
}

/** Returns the owner as the column holds it. Refuses an empty id: the option `owner` stores it as no owner, so no session has it. */
function requireOwnerId(id: unknown): string {
  const isOwnerId = (typeof id === 'string' && id !== '') || typeof id === 'bigint' || Number.isFinite(id)
  if (!isOwnerId) throw new InvalidOptionError('ownerId', 'a string that is not empty, a finite number or a bigint', new Hidden(id))
  const ownerId = String(id)
  const refusal = textRefusal(ownerId)
  if (refusal !== undefined) throw new InvalidOptionError('ownerId', `an owner that can be stored (${refusal})`, new Hidden(id))
  return ownerId
}
