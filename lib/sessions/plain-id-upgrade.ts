import type { Caller } from '../calls/caller'
import { SessionConflictError } from '../errors'
import { decode, encode } from '../record/codec'
import { DESTROYED, EARLIEST_EXPIRY, isMoving, moving } from '../record/expiry-columns'
import type { SessionRecord } from '../record/session-record'
import { looksHashed, plainIdRefusal } from '../record/stored-id'
import { ownerOf } from './owner-of'
import type { SessionsParts } from './sessions-parts'

/** A row is claimed by an update at its revision, so each failed claim was another request's write. */
const MAX_CLAIMS = 20

/** In a row that is dead from the beginning, which is all it is for. The data is JSON, as in every row that ended. */
const TOMBSTONE = { data: '{}', expiresAt: EARLIEST_EXPIRY, ownerId: null }

/**
 * Moves sessions from plain ids to hashed ones: a session that is not found under its hash is looked for under its plain id, and moved.
 *
 * First the plain row is claimed: an update at its revision makes its expiry negative. It is dead to everyone else then, and keeps its data
 * and the moment. Then the row under the hash is inserted, if there is none. Any process that finds a claimed row finishes the move. So a
 * process that dies between the two steps loses no session, and of several processes that move the same session, none overwrites what
 * another has changed since.
 */
export class PlainIdUpgrade {
  constructor(private readonly parts: SessionsParts) {}

  /** The session's row under its hash, dead or alive, if it was or is under its plain id. */
  async move(sessionId: string, storedId: string, caller: Caller): Promise<SessionRecord | null> {
    const plainId = this.plainId(sessionId)
    if (plainId === undefined) return null
    const { records, options } = this.parts
    for (let tries = 1; tries <= MAX_CLAIMS; tries++) {
      const plain = await records.load(plainId, caller)
      // Moved meanwhile, and the plain row pruned.
      if (plain === null) return records.load(storedId, caller)
      const expiresAt = Math.abs(plain.expiresAt)
      // Ended; or moved long ago, and renewed under its hash.
      if (expiresAt <= options.clock()) return records.load(storedId, caller)
      // Before it is claimed: a row that cannot be read stays as it is. The codec may bind the data to the id of the row.
      const session = await decode(options.codec, plain.data, plainId)
      const { data } = await encode(options.codec, session, storedId)
      const ownerId = ownerOf(options, session)
      const isClaimed = isMoving(plain.expiresAt) || (await this.claim(plain, caller))
      if (!isClaimed) continue
      await records.insert({ id: storedId, data, expiresAt, createdAt: plain.createdAt, ownerId }, caller)
      return records.load(storedId, caller)
    }
    throw new SessionConflictError(`${MAX_CLAIMS} tries in a row to move it`)
  }

  /** A session is ended under its plain id too, and one that is being moved never arrives. */
  async remove(sessionId: string, storedId: string, caller: Caller | undefined): Promise<void> {
    const { records, options } = this.parts
    const plainId = this.plainId(sessionId)
    if (plainId === undefined) return
    const plain = await records.load(plainId, caller)
    if (plain === null || plain.expiresAt === DESTROYED) return
    await records.insert({ id: storedId, createdAt: options.clock(), ...TOMBSTONE }, caller)
    await records.remove(plainId, caller)
  }

  private claim({ id, revision, data, expiresAt }: SessionRecord, caller: Caller): Promise<boolean> {
    return this.parts.records.updateWithExpiry({ id, revision, data, expiresAt: moving(expiresAt), ownerId: null }, caller)
  }

  private plainId(sessionId: string): string | undefined {
    const { prefix } = this.parts.options
    // The hash of a stored session must not work as a session id: as a plain id it would find the row, and anyone who reads the table could
    // use it.
    const isPlain = plainIdRefusal(sessionId, prefix) === undefined && !looksHashed(sessionId)
    return isPlain ? prefix + sessionId : undefined
  }
}
