import type { Entry } from './entry'
import type { Queue } from './queue'

/** The rules for the entries of one statement. */
export interface BatchRules<Item> {
  readonly maxRows: number
  readonly maxBytes: number
  /** Bytes, about: so that a few large rows make a statement of their own. */
  readonly sizeOf: (item: Item) => number
  /**
   * How entries with the same id are combined in one statement. `'in-turn'`: the first goes, the others go later. `'shared'`: one goes for
   * all of them, and they share its result.
   */
  readonly sameId: 'in-turn' | 'shared'
}

/** So many times as many as go in a statement are looked at: more that wait for their turn behind the same id would be looked at each time. */
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
  // A new map for each batch. All calls would pass through one that lives long, and its buckets would keep old results from being collected
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
  // The same order in every process: two statements that lock the same rows in different orders block each other.
  return sameId === 'in-turn' && batch.length > 1 ? batch.sort((a, b) => (a.id < b.id ? -1 : 1)) : batch
}
