/** A link of a queue. It is in one queue at a time. */
export interface Queued {
  queue: Queue<Queued> | undefined
  previous: Queued | undefined
  next: Queued | undefined
}

/** First in, first out. An entry that gives up leaves at once, from any place in the queue. */
export class Queue<Item extends Queued> {
  length = 0
  first: Queued | undefined = undefined
  private last: Queued | undefined = undefined

  push(item: Item): void {
    item.queue = this as unknown as Queue<Queued>
    item.previous = this.last
    if (this.last === undefined) this.first = item
    else this.last.next = item
    this.last = item
    this.length++
  }

  remove(item: Item): void {
    const { previous, next } = item
    if (previous === undefined) this.first = next
    else previous.next = next
    if (next === undefined) this.last = previous
    else next.previous = previous
    // The links of an entry that leaves are cleared. Otherwise an old entry would lead to younger ones, and neither these nor their
    // sessions would be garbage-collected early.
    item.previous = undefined
    item.next = undefined
    item.queue = undefined
    this.length--
  }

  shift(): Item | undefined {
    const { first } = this
    if (first !== undefined) this.remove(first as Item)
    return first as Item | undefined
  }
}
