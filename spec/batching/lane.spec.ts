import { AsyncLocalStorage } from 'node:async_hooks'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { ConnectionBudget } from '../../lib/batching/connection-budget'
import { Lane, type LaneOptions } from '../../lib/batching/lane'
import {
  DatabaseError,
  DatabaseUnreachableError,
  ReadOnlyDatabaseError,
  RecordTooLargeError,
  TimeoutError,
  TransientDatabaseError
} from '../../lib/database-errors'

vi.mock('../../lib/runtime/natives', () => import('../support/movable-natives.ts'))

/** A statement that was sent, and answers when it is told to. */
interface Sent {
  readonly items: readonly string[]
  answer(): Promise<void>
}

/** Lets everything run that waits for nothing but its turn. */
const settle = () => new Promise((resolve) => setImmediate(resolve))

function laneWith(options: Partial<LaneOptions<string, string>> = {}) {
  const sent: Sent[] = []
  const lane = new Lane<string, string>({
    operation: 'get',
    idOf: (item) => item.split(':')[0] as string,
    sameId: 'in-turn',
    sizeOf: (item) => item.length,
    maxBatch: 256,
    smallBatch: 16,
    maxBatchBytes: 1_000_000,
    maxInFlight: 1,
    spare: 0,
    budget: new ConnectionBudget(10),
    timeoutMs: 10_000,
    run: (items) =>
      new Promise((resolve) => {
        sent.push({
          items,
          async answer() {
            resolve(items.map((item) => `answer to ${item}`))
            await settle()
          }
        })
      }),
    ...options
  })
  return { lane, sent, batches: () => sent.map(({ items }) => items) }
}

const outcomes = async (calls: Promise<string>[]) =>
  (await Promise.allSettled(calls)).map((call) => (call.status === 'fulfilled' ? call.value : call.reason))

describe('a lane', () => {
  it('sends a call that is alone at once', async () => {
    const { lane, sent, batches } = laneWith()
    const call = lane.submit('a')
    await new Promise<void>((resolve) => process.nextTick(resolve))
    expect(batches()).toEqual([['a']])
    expect(lane.waiting).toBe(0)
    await sent[0]?.answer()
    expect(await call).toBe('answer to a')
  })

  it('sends what is asked in one tick together', async () => {
    const { lane, sent, batches } = laneWith()
    const calls = [lane.submit('b'), lane.submit('a'), lane.submit('c')]
    await settle()
    expect(batches()).toEqual([['a', 'b', 'c']])
    await sent[0]?.answer()
    expect(await Promise.all(calls)).toEqual(['answer to b', 'answer to a', 'answer to c'])
  })

  it('sends what arrives meanwhile together, in the next statement', async () => {
    const { lane, sent, batches } = laneWith()
    const first = lane.submit('a')
    await settle()
    const later = [lane.submit('b'), lane.submit('c')]
    await settle()
    expect(batches()).toEqual([['a']])
    expect(lane.waiting).toBe(2)
    await sent[0]?.answer()
    expect(batches()).toEqual([['a'], ['b', 'c']])
    await sent[1]?.answer()
    expect(await Promise.all([first, ...later])).toEqual(['answer to a', 'answer to b', 'answer to c'])
  })

  it('has no more statements under way than it may', async () => {
    const { lane, sent, batches } = laneWith({ maxInFlight: 2 })
    const calls: Promise<string>[] = []
    for (const item of ['a', 'b', 'c', 'd']) {
      calls.push(lane.submit(item))
      await settle()
    }
    expect(batches()).toEqual([['a'], ['b']])
    await sent[1]?.answer()
    expect(batches()).toEqual([['a'], ['b'], ['c', 'd']])
    await sent[0]?.answer()
    await sent[2]?.answer()
    await Promise.all(calls)
  })

  it('never has the same id twice in one statement, and keeps their order', async () => {
    const { lane, sent, batches } = laneWith()
    const calls = ['x:1', 'y:1', 'x:2', 'x:3', 'y:2'].map((item) => lane.submit(item))
    await settle()
    for (let at = 0; at < 3; at++) await sent[at]?.answer()
    expect(batches()).toEqual([['x:1', 'y:1'], ['x:2', 'y:2'], ['x:3']])
    expect(await Promise.all(calls)).toEqual(['x:1', 'y:1', 'x:2', 'x:3', 'y:2'].map((item) => `answer to ${item}`))
  })

  it('has at most so many rows in a statement', async () => {
    const { lane, sent, batches } = laneWith({ maxBatch: 2 })
    const calls = ['a', 'b', 'c'].map((item) => lane.submit(item))
    await settle()
    await sent[0]?.answer()
    await sent[1]?.answer()
    await Promise.all(calls)
    expect(batches()).toEqual([['a', 'b'], ['c']])
  })

  it('has at most so many bytes in a statement, but for one row that is larger', async () => {
    const { lane, sent, batches } = laneWith({ maxBatchBytes: 10 })
    const items = ['a', 'b'.repeat(30), 'c', 'd']
    const calls = items.map((item) => lane.submit(item))
    await settle()
    for (let at = 0; at < 3; at++) await sent[at]?.answer()
    await Promise.all(calls)
    expect(batches()).toEqual([['a'], ['b'.repeat(30)], ['c', 'd']])
  })

  it('answers each caller in its own async context', async () => {
    const { lane, sent } = laneWith()
    const context = new AsyncLocalStorage<string>()
    const seen: (string | undefined)[] = []
    const calls = ['a', 'b', 'c'].map((item) =>
      context.run(item, async () => {
        await lane.submit(item)
        seen.push(context.getStore())
      })
    )
    await settle()
    await context.run('the statement', () => sent[0]?.answer())
    await Promise.all(calls)
    expect(seen).toEqual(['a', 'b', 'c'])
  })

  it('waits for the budget, and sends then all that has come', async () => {
    const budget = new ConnectionBudget(1)
    const { lane, sent, batches } = laneWith({ budget })
    let release = () => {}
    const other = budget.use(() => new Promise<void>((resolve) => (release = resolve)))
    const calls = [lane.submit('a')]
    await settle()
    calls.push(lane.submit('b'))
    await settle()
    expect(batches()).toEqual([])
    release()
    await other
    await settle()
    expect(batches()).toEqual([['a', 'b']])
    await sent[0]?.answer()
    await Promise.all(calls)
  })

  it('answers each with its own and in order, whatever comes when', async () => {
    const step = fc.oneof(
      fc.record({ submit: fc.constantFrom('a', 'b', 'c', 'd') }),
      fc.constant('answer' as const),
      fc.constant('wait' as const)
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 40 }),
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 3 }),
        async (steps, maxBatch, maxInFlight) => {
          const { lane, sent } = laneWith({ maxBatch, maxInFlight })
          const calls: [string, Promise<string>][] = []
          let answered = 0
          for (const [number, what] of steps.entries()) {
            if (what === 'answer') await sent[answered++]?.answer()
            else if (what === 'wait') await settle()
            else calls.push([`${what.submit}:${number}`, lane.submit(`${what.submit}:${number}`)])
            answered = Math.min(answered, sent.length)
          }
          await settle()
          while (answered < sent.length) await sent[answered++]?.answer()
          for (const [item, call] of calls) expect(await call).toBe(`answer to ${item}`)
          for (const { items } of sent) {
            expect(items.length).toBeLessThanOrEqual(maxBatch)
            expect(new Set(items.map((item) => item[0])).size).toBe(items.length)
          }
          for (const id of 'abcd') {
            const asked = calls.map(([item]) => item).filter((item) => item.startsWith(id))
            expect(sent.flatMap(({ items }) => items).filter((item) => item.startsWith(id))).toEqual(asked)
          }
          expect(lane.waiting).toBe(0)
        }
      ),
      { numRuns: 50 }
    )
  })
})

describe('a lane under load', () => {
  const many = (count: number, from = 0) => Array.from({ length: count }, (_, number) => `i${from + number}`)
  const sizes = (sent: readonly Sent[]) => sent.map(({ items }) => items.length)

  it('sends two halves rather than all at once: while one is answered, the other is looked at', async () => {
    const { lane, sent } = laneWith({ maxInFlight: 2 })
    const calls = many(64).map((item) => lane.submit(item))
    await settle()
    expect(sizes(sent)).toEqual([32, 32])
    for (const { answer } of sent) await answer()
    await Promise.all(calls)
  })

  it('makes uneven statements even again', async () => {
    const { lane, sent } = laneWith({ maxInFlight: 2 })
    const few = many(10).map((item) => lane.submit(item))
    await settle()
    const rest = many(110, 10).map((item) => lane.submit(item))
    await settle()
    // Half of the 120 that wait or are under way.
    expect(sizes(sent)).toEqual([10, 60])
    await sent[0]?.answer()
    expect(sizes(sent)).toEqual([10, 60, 50])
    for (const { answer } of sent.slice(1)) await answer()
    await Promise.all([...few, ...rest])
  })

  it('lets a few wait for those who are about to be answered, and go with what these ask next', async () => {
    const { lane, sent } = laneWith({ maxInFlight: 2 })
    const first = Promise.all(many(31).map((item) => lane.submit(item))).then(() =>
      Promise.all(many(31, 100).map((item) => lane.submit(item)))
    )
    await settle()
    // 31 are not split: each half would be small. Of what comes now, less than a quarter of them waits.
    const straggler = lane.submit('straggler')
    await settle()
    const sent31 = sizes(sent)
    for (const { answer } of [...sent]) await answer()
    await settle()
    expect(sizes(sent).reduce((sum, size) => sum + size)).toBe(63)
    expect(
      sizes(sent)
        .slice(sent31.length)
        .every((size) => size > 1)
    ).toBe(true)
    for (const { answer } of sent.slice(sent31.length)) await answer()
    await Promise.all([first, straggler])
  })

  it('lets them wait for a moment only: what is under way may take long', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      const { lane, sent } = laneWith({ maxInFlight: 2 })
      const blocked = many(16).map((item) => lane.submit(item))
      await settle()
      const call = lane.submit('a few')
      await settle()
      expect(sizes(sent)).toEqual([16])
      vi.advanceTimersByTime(3)
      expect(sizes(sent)).toEqual([16, 1])
      await sent[1]?.answer()
      expect(await call).toBe('answer to a few')
      await sent[0]?.answer()
      await Promise.all(blocked)
      expect(vi.getTimerCount()).toBe(0)
    } finally {
      vi.useRealTimers()
    }
  })

  describe('with slow statements', () => {
    beforeEach(() => {
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    })
    afterEach(() => {
      vi.useRealTimers()
    })

    async function pass(ms: number) {
      vi.advanceTimersByTime(ms)
      // Before anything expires, the event loop looks for answers twice.
      await settle()
      await settle()
      await settle()
    }

    it('passes over them, so many times: they wait for something that the others need not wait for', async () => {
      const { lane, sent, batches } = laneWith({ maxInFlight: 1, spare: 2 })
      const calls: Promise<string>[] = []
      for (const item of ['a', 'b', 'c', 'd', 'e']) {
        calls.push(lane.submit(item))
        await settle()
      }
      expect(batches()).toEqual([['a']])
      await pass(19)
      expect(batches()).toEqual([['a']])
      await pass(1)
      expect(batches()).toEqual([['a'], ['b', 'c', 'd', 'e']])
      await sent[1]?.answer()
      for (const item of ['f', 'g', 'h']) {
        calls.push(lane.submit(item))
        await settle()
        await pass(20)
      }
      // Two slow ones, and one more: there the sparing ends, however slow it becomes.
      expect(batches().slice(2)).toEqual([['f'], ['g']])
      await pass(1000)
      expect(sent).toHaveLength(4)
      await sent[0]?.answer()
      expect(batches().slice(4)).toEqual([['h']])
      for (const { answer } of sent) await answer()
      expect(await Promise.all(calls)).toHaveLength(8)
      await settle()
      expect(vi.getTimerCount()).toBe(0)
    })

    it('leaves a connection of the budget to other lanes', async () => {
      const budget = new ConnectionBudget(4)
      const { lane, sent } = laneWith({ maxInFlight: 2, spare: 2, budget })
      const other = laneWith({ budget })
      const calls: Promise<string>[] = []
      for (let index = 0; index < 6; index++) {
        calls.push(lane.submit(`${index}`))
        await settle()
        await pass(20)
      }
      expect(sent).toHaveLength(3)
      const call = other.lane.submit('of the other')
      await settle()
      expect(other.sent).toHaveLength(1)
      await other.sent[0]?.answer()
      await call
      expect(sent).toHaveLength(3)
      for (let index = 0; index < sent.length; index++) await sent[index]?.answer()
      expect(await Promise.all(calls)).toHaveLength(6)
    })

    it('sees that others are slow too when one of them was answered', async () => {
      const { lane, sent, batches } = laneWith({ maxInFlight: 1, spare: 2 })
      const calls: Promise<string>[] = []
      for (const item of ['a', 'b', 'c']) {
        calls.push(lane.submit(item))
        await settle()
        await pass(10)
      }
      expect(batches()).toEqual([['a'], ['b']])
      await sent[0]?.answer()
      await pass(20)
      expect(batches()).toEqual([['a'], ['b'], ['c']])
      for (const { answer } of sent.slice(1)) await answer()
      await Promise.all(calls)
    })

    it('does not take one for slow where it was this process: the answer had come', async () => {
      const { lane, sent } = laneWith({ maxInFlight: 1, spare: 2 })
      const calls = [lane.submit('a')]
      await settle()
      calls.push(lane.submit('b'))
      await settle()
      vi.advanceTimersByTime(20)
      expect(sent).toHaveLength(1)
      // In the same turn, but after the timers, as answers come.
      await sent[0]?.answer()
      calls.push(lane.submit('c'))
      await settle()
      expect(sent.map(({ items }) => items)).toEqual([['a'], ['b']])
      await sent[1]?.answer()
      await sent[2]?.answer()
      expect(await Promise.all(calls)).toHaveLength(3)
    })
  })

  it('lets nobody wait where little is under way', async () => {
    const { lane, sent } = laneWith({ maxInFlight: 4 })
    const calls: Promise<string>[] = []
    for (const item of ['a', 'b', 'c', 'd']) {
      calls.push(lane.submit(item))
      await settle()
    }
    expect(sizes(sent)).toEqual([1, 1, 1, 1])
    for (const { answer } of sent) await answer()
    await Promise.all(calls)
  })

  it('sends what waits before those who were answered look at their answers', async () => {
    const { lane, sent } = laneWith()
    const order: string[] = []
    const first = lane.submit('a').then(() => order.push(`answered, ${sent.length} sent`))
    await settle()
    const second = lane.submit('b')
    await sent[0]?.answer()
    await first
    expect(order).toEqual(['answered, 2 sent'])
    await sent[1]?.answer()
    await second
  })
})

describe('a lane whose calls for the same share an answer', () => {
  it('asks once for those who wait together, and anew for who comes later', async () => {
    const { lane, sent, batches } = laneWith({ sameId: 'shared' })
    const together = ['x:1', 'y:1', 'x:2', 'x:3'].map((item) => lane.submit(item))
    await settle()
    const later = lane.submit('x:4')
    await settle()
    await sent[0]?.answer()
    expect(batches()).toEqual([['x:1', 'y:1'], ['x:4']])
    await sent[1]?.answer()
    expect(await Promise.all([...together, later])).toEqual(['x:1', 'y:1', 'x:1', 'x:1', 'x:4'].map((item) => `answer to ${item}`))
  })

  it('gives all of them the error, and tries again for those who still wait', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'performance'] })
    try {
      const batches: string[][] = []
      const { lane } = laneWith({
        sameId: 'shared',
        timeoutMs: 1000,
        run: async (items) => {
          batches.push([...items])
          await new Promise((resolve) => setTimeout(resolve, 1001))
          if (batches.length === 1) throw new TransientDatabaseError('get', 'sqlite', 'BUSY')
          throw new DatabaseError('get', 'sqlite', 'CONSTRAINT')
        }
      })
      const holding = lane.submit('other')
      await vi.advanceTimersByTimeAsync(500)
      const first = lane.submit('x:1')
      await vi.advanceTimersByTimeAsync(400)
      const twin = lane.submit('x:2')
      const answers = outcomes([holding, first, twin])
      await vi.advanceTimersByTimeAsync(10_000)
      expect((await answers).map((error) => (error as unknown as { code: string }).code)).toEqual([
        'ERR_SESSION_TIMEOUT',
        'ERR_SESSION_DATABASE',
        'ERR_SESSION_DATABASE'
      ])
      expect(batches.flat()).not.toContain('x:2')
    } finally {
      vi.useRealTimers()
    }
  })
})

describe('a lane of a database in this process', () => {
  it('answers at once, however much waits', async () => {
    const { lane } = laneWith({ maxBatch: 1, run: (items) => items.map((item) => `answer to ${item}`) })
    const items = Array.from({ length: 20_000 }, (_, number) => `i${number}`)
    expect(await Promise.all(items.map((item) => lane.submit(item)))).toEqual(items.map((item) => `answer to ${item}`))
  })

  it('fails alone what it refuses', async () => {
    const refused = new DatabaseError('set', 'sqlite', 'CONSTRAINT')
    const { lane } = laneWith({
      run: (items) => {
        if (items.includes('b')) throw refused
        return items.map((item) => item.toUpperCase())
      }
    })
    expect(await outcomes(['a', 'b', 'c'].map((item) => lane.submit(item)))).toEqual(['A', refused, 'C'])
  })
})

describe('a failing statement of a lane', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'performance'] })
  })

  afterEach(() => {
    vi.useRealTimers()
  })

  /** Answers as `run` does, and moves the time on until all calls have their answers. */
  async function callsTo(run: (items: string[], number: number) => string[], items: string[], timeoutMs = 10_000) {
    const batches: string[][] = []
    const { lane } = laneWith({
      timeoutMs,
      run: async (batch) => {
        batches.push([...batch])
        return run(batch, batches.length)
      }
    })
    const answers = outcomes(items.map((item) => lane.submit(item)))
    await vi.advanceTimersByTimeAsync(5000)
    return { answers: await answers, batches }
  }
  const answer = (items: string[]) => items.map((item) => item.toUpperCase())
  const refused = new DatabaseError('set', 'sqlite', 'CONSTRAINT')
  const busy = new TransientDatabaseError('set', 'sqlite', 'BUSY')
  const unreachable = new DatabaseUnreachableError('set', 'sqlite', undefined)

  it('fails the one row whose fault it is, and no other', async () => {
    const items = [...'abcdefg']
    const { answers } = await callsTo((batch) => {
      if (batch.includes('c')) throw refused
      return answer(batch)
    }, items)
    expect(answers).toEqual(items.map((item) => (item === 'c' ? refused : item.toUpperCase())))
  })

  it('fails every row that is at fault, of many', async () => {
    const items = Array.from({ length: 64 }, (_, number) => `i${number}`)
    const poisoned = new Set(['i0', 'i7', 'i31', 'i63'])
    const { answers, batches } = await callsTo((batch) => {
      if (batch.some((item) => poisoned.has(item))) throw refused
      return answer(batch)
    }, items)
    expect(answers).toEqual(items.map((item) => (poisoned.has(item) ? refused : item.toUpperCase())))
    expect(batches.length).toBeLessThan(64)
  })

  it('is split where a row is too large for the server', async () => {
    const tooLarge = new RecordTooLargeError('set', 'mysql', '1153', 'max_allowed_packet')
    const { answers } = await callsTo(
      (batch) => {
        if (batch.includes('b')) throw tooLarge
        return answer(batch)
      },
      ['a', 'b']
    )
    expect(answers).toEqual(['A', tooLarge])
  })

  it.each([
    ['a database that is read-only', new ReadOnlyDatabaseError('set', 'postgresql', '25006')],
    ['an error that is no answer of the database', new TypeError('a mistake of ours')]
  ])('is not split for %s: all would fail alone too', async (_what, error) => {
    const { answers, batches } = await callsTo(() => {
      throw error
    }, ['a', 'b', 'c'])
    expect(answers).toEqual([error, error, error])
    expect(batches).toHaveLength(1)
  })

  it('is tried again where the database gave it up for others', async () => {
    const { answers, batches } = await callsTo(
      (batch, number) => {
        if (number < 5) throw busy
        return answer(batch)
      },
      ['a', 'b']
    )
    expect(answers).toEqual(['A', 'B'])
    expect(batches).toHaveLength(5)
  })

  it('is tried five times, and not for ever', async () => {
    const { answers, batches } = await callsTo(() => {
      throw busy
    }, ['a', 'b'])
    expect(answers).toEqual([busy, busy])
    expect(batches).toHaveLength(5)
  })

  it('is tried three times where the connection broke', async () => {
    const { answers, batches } = await callsTo(() => {
      throw unreachable
    }, ['a', 'b'])
    expect(answers).toEqual([unreachable, unreachable])
    expect(batches).toHaveLength(3)
  })

  it('is not tried again for callers who have given up', async () => {
    const sentAt: number[] = []
    const { lane } = laneWith({
      timeoutMs: 1000,
      run: async () => {
        sentAt.push(performance.now())
        await new Promise((resolve) => setTimeout(resolve, 1001))
        throw unreachable
      }
    })
    const answers = outcomes([lane.submit('a'), lane.submit('b')])
    await vi.advanceTimersByTimeAsync(5000)
    expect(await answers).toEqual([new TimeoutError('get', 1000), new TimeoutError('get', 1000)])
    expect(sentAt).toHaveLength(1)
  })

  it('lets nothing be sent that has waited for longer than its caller', async () => {
    const batches: string[][] = []
    const { lane } = laneWith({
      timeoutMs: 1000,
      run: async (batch, bounds) => {
        bounds.begin({ end: () => undefined })
        batches.push([...batch])
        await new Promise((resolve) => setTimeout(resolve, 1500))
        return answer(batch)
      }
    })
    const first = lane.submit('a')
    await vi.advanceTimersByTimeAsync(10)
    const answers = outcomes([first, lane.submit('late')])
    await vi.advanceTimersByTimeAsync(1400)
    const inTime = lane.submit('in time')
    await vi.advanceTimersByTimeAsync(5000)
    expect(await answers).toEqual(['A', new TimeoutError('get', 1000)])
    expect(await inTime).toBe('IN TIME')
    expect(batches).toEqual([['a'], ['in time']])
  })
})
