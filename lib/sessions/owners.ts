import type { SessionData } from 'express-session'
import type { ConnectionBudget } from '../batching/connection-budget'
import type { WriteOrder } from '../batching/write-order'
import { Hidden, InvalidOptionError } from '../errors'
import { handleOf, textRefusal } from '../record/stored-id'
import type { ScanRange } from '../table/live-rows'
import type { OwnedPlace, OwnedRecord } from '../table/owner-scan'
import type { SessionTable } from '../table/session-table'
import type { Sessions } from './sessions'

/** An owner as the option `owner` returns it. 7, 7n and `'7'` are the same owner. */
export type OwnerId = string | number | bigint

/** One live session of an owner. */
export interface OwnedSession {
  /**
   * Identifies the session in a URL or a form: a hash of the stored id. It is not a session id and does not lead to one. Pass it to
   * `destroyHandle`, `except` or `after`.
   */
  readonly handle: string
  /** When the session began, in milliseconds since the epoch. */
  readonly createdAt: number
  /** When the session was last written or touched, in milliseconds since the epoch. Precise to the option `touchAfterMs`. */
  readonly lastSeenAt: number
  /** When the session ends, in milliseconds since the epoch. */
  readonly expiresAt: number
  /** The session data; null if the row cannot be read. */
  readonly session: SessionData | null
}

/** Options of `store.ofOwner`. */
export interface OfOwnerOptions {
  /** The maximum number of sessions, 1 to 1000. @default 100 */
  limit?: number
  /** The handle of the last session on the previous page. @default the first page */
  after?: string
}

/** Options of `store.destroyOwner`. */
export interface DestroyOwnerOptions {
  /** The session to keep: a request, a session id or a handle. @default none */
  except?: string | { readonly sessionID?: string }
}

interface OwnersParts {
  readonly table: SessionTable
  readonly budget: ConnectionBudget
  readonly order: WriteOrder
  readonly sessions: Sessions
  readonly range: ScanRange
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
  async list(ownerId: OwnerId, { limit = DEFAULT_LIMIT, after }: OfOwnerOptions = {}): Promise<OwnedSession[]> {
    const { table, range, sessions } = this.parts
    const owner = requireOwnerId(ownerId)
    if (!Number.isSafeInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
      throw new InvalidOptionError('limit', `a whole number from 1 to ${MAX_LIMIT}`, limit)
    }
    await this.settled('ofOwner')
    const place = after === undefined ? undefined : await this.placeOf(owner, after)
    if (after !== undefined && place === undefined) {
      throw new InvalidOptionError('after', 'the handle of a live session of this owner', new Hidden(after))
    }
    const records = await this.step('ofOwner', () => table.ofOwner(range, owner, place, limit))
    return Promise.all(records.map(async (record) => ownedSession(record, await sessions.open(record))))
  }

  /** Ends all sessions of the owner, except the one to keep. Returns how many it ended. */
  async destroyAll(ownerId: OwnerId, { except }: DestroyOwnerOptions = {}): Promise<number> {
    const owner = requireOwnerId(ownerId)
    const isKept = this.keeps(except)
    await this.settled('destroyOwner')
    let ended = 0
    for await (const places of this.pages('destroyOwner', owner)) {
      const ending = places.filter(({ id }) => !isKept(id))
      await this.parts.bound('destroyOwner', Promise.all(ending.map(({ id }) => this.parts.sessions.end(id))))
      ended += ending.length
    }
    return ended
  }

  /** Ends the session with this handle if it belongs to the owner. Returns whether there was one. */
  async destroy(handle: string, ownerId: OwnerId): Promise<boolean> {
    const owner = requireOwnerId(ownerId)
    if (typeof handle !== 'string') throw new InvalidOptionError('handle', 'a handle of store.ofOwner', new Hidden(handle))
    await this.settled('destroyHandle')
    const place = await this.placeOf(owner, handle)
    if (place === undefined) return false
    await this.parts.bound('destroyHandle', this.parts.sessions.end(place.id))
    return true
  }

  /** Ends all but the newest `most` sessions of the owner. `owner` is the value of the column. */
  async limit(owner: string, most: number): Promise<void> {
    const { table, range, bound, sessions } = this.parts
    let newest = await this.step('set', () => table.placesOfOwner(range, owner, undefined, most))
    while (newest.length > 0) {
      const last = newest.at(-1)
      newest = await this.step('set', () => table.placesOfOwner(range, owner, last, ENDED_AT_ONCE))
      await bound('set', Promise.all(newest.map(({ id }) => sessions.end(id))))
      if (newest.length < ENDED_AT_ONCE) return
    }
  }

  /** Returns the number of live sessions of the owner. */
  async count(ownerId: OwnerId): Promise<number> {
    const owner = requireOwnerId(ownerId)
    await this.settled('countOf')
    return this.step('countOf', () => this.parts.table.countOf(this.parts.range, owner))
  }

  /** Waits for the writes that were called before, so that this call sees them. */
  private settled(operation: string): Promise<void> {
    return this.parts.bound(operation, this.parts.order.settled())
  }

  private step<T>(operation: string, statement: () => Promise<T>): Promise<T> {
    return this.parts.bound(operation, this.parts.budget.use(statement))
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

  private keeps(except: DestroyOwnerOptions['except']): (storedId: string) => boolean {
    if (except === undefined) return () => false
    const given = typeof except === 'object' && except !== null ? except.sessionID : except
    if (typeof given !== 'string') {
      throw new InvalidOptionError('except', 'a request with a sessionID, a session id or a handle', new Hidden(except))
    }
    const kept = this.parts.sessions.storedIdIfValid(given)
    return (storedId) => storedId === kept || handleOf(storedId) === given
  }
}

function ownedSession({ id, createdAt, lastSeenAt, expiresAt }: OwnedRecord, session: SessionData | null): OwnedSession {
  return { handle: handleOf(id), createdAt, lastSeenAt, expiresAt, session }
}

/** Returns the owner as the column holds it. Refuses an empty owner, which would mean all sessions that have none. */
function requireOwnerId(id: unknown): string {
  const isOwnerId = (typeof id === 'string' && id !== '') || typeof id === 'bigint' || Number.isFinite(id)
  if (!isOwnerId) throw new InvalidOptionError('ownerId', 'a string that is not empty, a finite number or a bigint', new Hidden(id))
  const ownerId = String(id)
  const refusal = textRefusal(ownerId)
  if (refusal !== undefined) throw new InvalidOptionError('ownerId', `an owner that can be stored (${refusal})`, new Hidden(id))
  return ownerId
}
