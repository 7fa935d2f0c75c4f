import { describe, expect, it } from 'vitest'
import { Entry } from '../../lib/batching/entry'
import { type BatchRules, takeBatch } from '../../lib/batching/next-batch'
import { Queue } from '../../lib/batching/queue'
import { Caller } from '../../lib/calls/caller'

class Somebody extends Caller {
  override expire(): void {
    this.giveUp()
  }
}

const LANE = { operation: 'set', timeoutMs: 1000, waitForLock: () => undefined }

function queueOf(items: readonly string[]) {
  const queue = new Queue<Entry<string, string>>()
  const callers = items.map((item) => {
    const caller = new Somebody()
    queue.push(
      new Entry(
        LANE,
        item,
        item.split(':')[0] as string,
        caller,
        () => undefined,
        () => undefined
      )
    )
    return caller
  })
  return { queue, callers }
}

const RULES: BatchRules<string> = { maxRows: 4, maxBytes: 1000, sizeOf: () => 1, sameId: 'in-turn' }

/** All batches that are taken, one after the other. */
function batchesOf(items: readonly string[], rules: Partial<BatchRules<string>> = {}): string[][] {
  const { queue } = queueOf(items)
  const batches: string[][] = []
  while (queue.length > 0) batches.push(takeBatch(queue, { ...RULES, ...rules }).map(({ item }) => item))
  return batches
}

describe('the next statement', () => {
  it.each([
    ['takes what is there', ['a', 'b'], {}, [['a', 'b']]],
    ['takes as many rows as it may', ['a', 'b', 'c', 'd', 'e'], {}, [['a', 'b', 'c', 'd'], ['e']]],
    ['is in the order of ids, so that processes do not block each other', ['c', 'a', 'b'], {}, [['a', 'b', 'c']]],
    ['takes one of each id, and leaves the others in their order', ['x:1', 'y:1', 'x:2', 'x:3'], {}, [['x:1', 'y:1'], ['x:2'], ['x:3']]],
    ['takes one for all that may share an answer', ['x:1', 'y:1', 'x:2'], { sameId: 'shared' }, [['x:1', 'y:1']]],
    [
      'takes as many bytes as it may, but for one row that is larger',
      ['a', 'b', 'c'],
      { maxBytes: 2, sizeOf: (item: string) => (item === 'c' ? 9 : 1) },
      [['a', 'b'], ['c']]
    ],
    ['takes one at a time where no more may go', ['b', 'a'], { maxRows: 1 }, [['b'], ['a']]]
  ] as const)('%s', (_what, items, rules, batches) => {
    expect(batchesOf(items, rules as Partial<BatchRules<string>>)).toEqual(batches)
  })

  it('looks at a few of those that wait, however many there are of one id', () => {
    let looks = 0
    const items = Array.from({ length: 3000 }, (_, number) => `x:${number}`)
    const sizeOf = () => {
      looks++
      return 1
    }
    expect(batchesOf(items, { sizeOf })).toEqual(items.map((item) => [item]))
    expect(looks).toBeLessThan(3000 * 20)
  })

  it('has nothing of what was given up, which leaves from any place', () => {
    const { queue, callers } = queueOf(['a', 'b', 'c', 'd', 'e'])
    for (const at of [0, 2, 4]) callers[at]?.expire()
    expect(queue.length).toBe(2)
    expect(takeBatch(queue, RULES).map(({ item }) => item)).toEqual(['b', 'd'])
    expect(queue.length).toBe(0)
  })
})
