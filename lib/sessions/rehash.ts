import { decode, encode } from '../record/codec'
import { looksHashed, plainIdRefusal, storedIdOf } from '../record/stored-id'
import { type RewritingOptions, type RewritingParts, type RewritingResult, rewriteRows } from './rewrite-rows'

/**
 * Moves every live session that is stored under its plain id to its hash. One statement moves one session, so the session is always under
 * one of the two ids. Stores with `upgradePlainIds` may run meanwhile, because they look under both ids. Expiry, owner and times of the row
 * stay.
 */
export async function rehash(parts: RewritingParts, options: RewritingOptions = {}): Promise<RewritingResult> {
  const { codec, prefix } = parts.options
  return rewriteRows(
    parts,
    async ({ id: plainId, data }) => {
      const sessionId = plainId.slice(prefix.length)
      // An id that looks like a hash is a hash: the store never takes such an id for a plain id.
      if (looksHashed(sessionId) || plainIdRefusal(sessionId, prefix) !== undefined) return undefined
      const id = storedIdOf(sessionId, { prefix })
      // Encoded again, because a codec may bind the data to the id of the row.
      const session = await decode(codec, data, plainId)
      return { id, data: (await encode(codec, session, id)).data }
    },
    options
  )
}
