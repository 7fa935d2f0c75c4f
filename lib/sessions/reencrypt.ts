import { Hidden, InvalidOptionError } from '../errors'
import { decode, encode } from '../record/codec'
import { type RewritingOptions, type RewritingParts, type RewritingResult, rewriteRows } from './rewrite-rows'

/**
 * Writes every live session anew that the codec would write differently today: those of an old key, and those from before encryption was on.
 * Expiry, owner and the times of a row stay.
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
