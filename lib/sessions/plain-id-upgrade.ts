import type { Caller } from '../calls/caller'
import { SessionConflictError } from '../errors'
import { decode, encode } from '../record/codec'
import { DESTROYED, EARLIEST_EXPIRY, isMoving, moving } from '../record/expiry-columns'
import { emptyRow, type SessionRecord } from '../record/session-record'
import { looksHashed, plainIdRefusal } from '../record/stored-id'
import { ownerOf } from './owner-of'
import type { SessionsParts } from './sessions-parts'

/** How often a row is claimed. To claim a row is to update it at its revision, which fails only if another request has written the row. */
const MAX_CLAIMS = 20

/**
 * Moves sessions from plain ids to hashed ones. A session that is not found under its hash is looked up under its plain id and moved.
 *
 * A move has two steps. First, an update at the row's revision claims the plain row: it makes the expiry negative. The row is then dead to
 * everyone else, but keeps its data and, as the absolute value, its expiry. Second, the row under the hash is inserted, if there is none.
 * Any process that finds a claimed row finishes the move. So no session is lost if a process dies between the two steps. If several
 * processes move the same session, none overwrites what another has changed since.
 */
export class PlainIdUpgrade {
  constructor(private readonly parts: SessionsParts) {}

  /** Moves the session if it is stored under its plain id. Returns its row under the hash, or the dead row under its plain id, or null. */
  async move(sessionId: string, storedId: string, caller: Caller): Promise<SessionRecord | null> {
    const plainId = this.plainId(sessionId)
    if (plainId === undefined) return null
    const { records, options, hasLoggedOut } = this.parts
    for (let tries = 1; tries <= MAX_CLAIMS; tries++) {
      const plain = await records.load(plainId, caller)
      // The session was never stored under its plain id. Or another request has moved it, and the plain row was pruned since.
      if (plain === null) return records.load(storedId, caller)
      const expiresAt = Math.abs(plain.expiresAt)
      // The session has expired. Or it was moved long ago and renewed under its hash.
      if (expiresAt <= options.clock()) return (await records.load(storedId, caller)) ?? plain
      // Decoded before the claim, so a row that cannot be read stays as it is. Encoded again, because a codec may bind the data to the id.
      const session = await decode(options.codec, plain.data, plainId)
      const { data } = await encode(options.codec, session, storedId)
      const ownerId = ownerOf(options, session)
      const isClaimed = isMoving(plain.expiresAt) || (await this.claim(plain, caller))
      if (!isClaimed) continue
      await records.insert({ id: storedId, data, expiresAt, createdAt: plain.createdAt, ownerId }, caller)
      // A log-out everywhere does not find a session that is being moved. But it leaves a mark.
      const ageMs = options.clock() - plain.createdAt
      if (ownerId !== null && (await hasLoggedOut({ storedId, ownerId, ageMs }))) await records.remove(storedId, caller)
      return records.load(storedId, caller)
    }
    throw new SessionConflictError(`${MAX_CLAIMS} tries to move it to its hashed id failed`)
  }

  /** Ends the session under its plain id. First inserts a dead row under the hash: if the session is being moved, this stops the move. */
  async remove(sessionId: string, storedId: string, caller: Caller | undefined): Promise<void> {
    const { records, options } = this.parts
    const plainId = this.plainId(sessionId)
    if (plainId === undefined) return
    const plain = await records.load(plainId, caller)
    if (plain === null || plain.expiresAt === DESTROYED) return
    await records.insert(emptyRow(storedId, EARLIEST_EXPIRY, options.clock()), caller)
    await records.remove(plainId, caller)
  }

  private claim({ id, revision, data, expiresAt }: SessionRecord, caller: Caller): Promise<boolean> {
    const claimed = { id, revision, data, expiresAt: moving(expiresAt), ownerId: null, isExpiryExact: true, createdAt: null }
    return this.parts.records.updateWithLife(claimed, caller)
  }

  private plainId(sessionId: string): string | undefined {
    const { prefix } = this.parts.options
    // An id that looks like a hash is no plain id. As a plain id, the hash of a session would find the row of the session, so anyone who
    // has read the table could use the session.
    const isPlain = plainIdRefusal(sessionId, prefix) === undefined && !looksHashed(sessionId)
    return isPlain ? prefix + sessionId : undefined
  }
}
