import { isDeepStrictEqual } from 'node:util'
import { UnserializableSessionError } from '../errors'
import { TOO_DEEP } from './codec'
import { type Entries, entriesOf, namesOf, sessionOf } from './entries'
import { EntryDigests } from './entry-digests'

/** The outcome of a three-way merge. */
export interface Merge {
  readonly merged: Record<string, unknown>
  /** Keys that both sides changed to different values. Ours won, unless we deleted the key. */
  readonly contested: readonly string[]
}

/**
 * Three-way merge over top-level keys. What we changed since `base` wins. What only they changed is kept. What we deleted stays deleted,
 * unless they changed it. Values are taken whole: nothing is merged inside an array or object, except the envelope of {@link entriesOf}.
 * All three sides must come from the codec, so that equal values compare as equal.
 */
export function mergeSessions(base: object | EntryDigests, ours: object, theirs: object): Merge {
  const before = base instanceof EntryDigests ? base : entriesOf(base)
  const [mine, other] = [entriesOf(ours), entriesOf(theirs)]
  const merged: [string, unknown][] = []
  const contested: string[] = []
  for (const key of new Set([...mine.keys(), ...other.keys()])) {
    const changedHere = isChanged(before, mine, key)
    const changedThere = isChanged(before, other, key)
    const deletedHere = changedHere && !mine.has(key)
    if (changedHere && changedThere && differs(mine, other, key)) contested.push(key)
    const winner = changedHere && !(deletedHere && changedThere) ? mine : other
    if (winner.has(key)) merged.push([key, winner.get(key)])
  }
  return { merged: sessionOf(merged, ours), contested: namesOf(contested, ours) }
}

function isChanged(before: Entries | EntryDigests, side: Entries, key: string): boolean {
  return before instanceof EntryDigests ? before.differs(side, key) : differs(before, side, key)
}

function differs(left: Entries, right: Entries, key: string): boolean {
  if (left.has(key) !== right.has(key)) return true
  if (!left.has(key)) return false
  try {
    return !isDeepStrictEqual(left.get(key), right.get(key))
  } catch (error) {
    // The stack overflowed, or a getter of an object from the codec threw.
    throw new UnserializableSessionError(
      error instanceof RangeError
        ? `it cannot be merged with what another request wrote: ${TOO_DEEP}`
        : 'it cannot be compared with what another request wrote, because a getter in an object of the codec threw an error; let decode return plain objects'
    )
  }
}
