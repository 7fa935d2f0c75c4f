import type { Entry } from './entry'
import type { Queue } from './queue'

/** The rules for the entries of one statement. */
export interface BatchRules<Item> {
  readonly maxRows: number
  readonly maxBytes: number
  /** The approximate number of bytes of an entry. A few large rows make a statement of their own. */
  readonly sizeOf: (item: Item) => number
  /**
   * What happens to entries with the same id. `'in-turn'`: one entry goes into this statement, and the others go into later ones.
   * `'shared'`: one entry goes, and all of them get its result.
   */
  readonly sameId: 'in-turn' | 'shared'
}

/**
 * How many entries are looked at, as a multiple of the rows in a statement. If many entries wait for their turn behind the same id, all of
 * them would be looked at for each statement otherwise.
 */
const LOOK_AHEAD = 4

/** Takes the entries of the next statement out of the queue. */
export function takeBatch<Item, Result>(queue: Queue<Entry<Item, Result>>, rules: BatchRules<Item>): Entry<Item, Result>[] {
  const { maxRows, maxBytes, sizeOf, sameId } = rules
  const batch: Entry<Item, Result>[] = []
  if (queue.length === 1 || maxRows === 1) {
    const alone = queue.shift()
    if (alone !== undefined) batch.push(alone)
    return batch
  }
  // Each batch gets a new map. In a map that lives long, the buckets would keep old results, and these would not be garbage-collected
  // early.
  const firstOf = new Map<string, Entry<Item, Result>>()
  let bytes = 0
  let lookedAt = 0
  let next: Entry<Item, Result> | undefined
  for (let entry = queue.first as typeof next; entry !== undefined; entry = next) {
    next = entry.next as typeof next
    const size = sizeOf(entry.item)
    if (batch.length > 0 && bytes + size > maxBytes) break
    lookedAt++
    const first = firstOf.get(entry.id)
    if (first === undefined) {
      queue.remove(entry)
      firstOf.set(entry.id, entry)
      bytes += size
      batch.push(entry)
    } else if (sameId === 'shared') {
      queue.remove(entry)
      first.twins ??= []
      first.twins.push(entry)
    }
    if (batch.length === maxRows || lookedAt === maxRows * LOOK_AHEAD) break
  }
  // All processes use the same order. Two statements that lock the same rows in different orders would block each other.
  return sameId === 'in-turn' && batch.length > 1 ? batch.sort((a, b) => (a.id < b.id ? -1 : 1)) : batch
}
