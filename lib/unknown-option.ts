import { UnknownOptionError } from './errors'

const MOST_LISTED = 10

/**
 * Throws for a key that is no option, and suggests the one that was probably meant.
 *
 * @param counterparts what stands here for options of other packages, whose names are in small letters
 */
export function refuseUnknown(
  options: object,
  known: readonly string[],
  path = '',
  counterparts: Readonly<Record<string, string>> = {}
): void {
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue
    const name = key.toLowerCase()
    const advice = Object.hasOwn(counterparts, name) ? counterparts[name] : undefined
    throw new UnknownOptionError(path + key, advice === undefined ? guess(key, known) : `: ${advice}`)
  }
}

/** The name that was probably meant, and the others, unless there are so many that they hide it. */
function guess(given: string, known: readonly string[]): string {
  const name = nearest(given, known)
  const hint = name === undefined ? '' : `, did you mean ${name}?`
  if (known.length <= MOST_LISTED) return `${hint} (options: ${known.join(', ')})`
  return hint || ' (the README lists the options)'
}

/** The known name that is at most three edits away and not wholly another, or the only one that begins like it, if there is one. */
export function nearest(given: string, known: readonly string[]): string | undefined {
  const ranked = known.map((name) => [distance(given.toLowerCase(), name.toLowerCase()), name] as const).sort(([a], [b]) => a - b)
  const [best] = ranked
  if (best !== undefined && best[0] <= Math.min(3, given.length / 2)) return best[1]
  const longer = known.filter((name) => given.length > 2 && name.startsWith(given))
  return longer.length === 1 ? longer[0] : undefined
}

function distance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, index) => index)
  for (let i = 1; i <= left.length; i++) {
    const next = [i]
    for (let j = 1; j <= right.length; j++) {
      const substitution = (row[j - 1] as number) + (left[i - 1] === right[j - 1] ? 0 : 1)
      next.push(Math.min(substitution, (row[j] as number) + 1, (next[j - 1] as number) + 1))
    }
    row = next
  }
  return row[right.length] as number
}
