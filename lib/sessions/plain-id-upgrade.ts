import type { SessionRecord } from '../dialects/dialect'
import { decode, encode } from '../record/codec'
import { plainIdRefusal } from '../record/stored-id'
import { ownerOf } from './owner-of'
import type { SessionsParts } from './sessions-parts'

/** The expiry of a row that was moved: dead, and told apart from one that was destroyed, whose expiry is 0. */
const MOVED = 1

/**
 * The way from plain ids to hashed ones: a session that is not found under its hash is looked for under its plain id, and moved.
 * Of several requests that move the same session, one does: the row under the hash is inserted only where there is none, so that
 * nothing that the first of them has already changed is written over.
 */
export class PlainIdUpgrade {
  constructor(private readonly parts: SessionsParts) {}

  /** The session's row under its hash, if it was alive under its plain id. */
  async move(sessionId: string, storedId: string): Promise<SessionRecord | null> {
    const plainId = this.plainId(sessionId)
    if (plainId === undefined) return null
    const { records, options } = this.parts
    const record = await records.load(plainId)
    if (record === null || record.expiresAt <= options.clock()) return null
    // The codec may bind the data to the id of the row.
    const session = await decode(options.codec, record.data, plainId)
    const { data } = await encode(options.codec, session, storedId)
    const { expiresAt, createdAt, revision } = record
    await records.insert({ id: storedId, data, expiresAt, createdAt, ownerId: ownerOf(options, session) })
    // Afterwards, and not before: a crash in between leaves two rows, not none.
    const left = { id: plainId, revision, data: record.data, expiresAt: MOVED, ownerId: null }
    if (!(await records.updateWithExpiry(left))) {
      const plain = await records.load(plainId)
      if (plain !== null && plain.expiresAt !== MOVED) {
        // Destroyed meanwhile, or changed by a process that does not know of hashes yet: what we inserted is out of date.
        await records.remove(storedId)
        return null
      }
    }
    const moved = await records.load(storedId)
    return moved !== null && moved.expiresAt > options.clock() ? moved : null
  }

  /** A session is ended under both of its ids. */
  async remove(sessionId: string): Promise<void> {
    const plainId = this.plainId(sessionId)
    if (plainId !== undefined) await this.parts.records.remove(plainId)
  }

  private plainId(sessionId: string): string | undefined {
    const { prefix } = this.parts.options
    return plainIdRefusal(sessionId, prefix) === undefined ? prefix + sessionId : undefined
  }
}
