import { Hidden, InvalidOptionError } from '../errors'
import { decode, encode } from '../record/codec'
import { type RewritingOptions, type RewritingParts, type RewritingResult, rewriteRows } from './rewrite-rows'

/**
 * Rewrites every live session that the codec would encode differently today: a session that was encrypted with an old key, or was written
 * before encryption was on. Expiry, owner and times of the row stay.
 *
 * @throws {InvalidOptionError} if the codec cannot say which rows it would write differently
 */
export async function reencrypt(parts: RewritingParts, options: RewritingOptions = {}): Promise<RewritingResult> {
  const { codec } = parts.options
  if (codec.rewrite === undefined) {
    throw new InvalidOptionError('codec', 'one that has the function rewrite, as encrypted({ keys }) has', new Hidden(codec))
  }
  return rewriteRows(
    parts,
    async ({ id, data }) => {
      if (codec.rewrite?.(data) === 'not') return undefined
      const session = await decode(codec, data, id)
      return { id, data: (await encode(codec, session, id)).data }
    },
    options
  )
}
