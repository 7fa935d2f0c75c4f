import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { answerInTime, type Call } from '../../lib/calls/callbacks'
import { CallDeadlines, type Caller, type Undertaking } from '../../lib/calls/caller'
import { TimeoutError } from '../../lib/database-errors'
import { monotonicNow } from '../support/movable-natives'

vi.mock('../../lib/runtime/natives', () => import('../support/movable-natives.ts'))

class Work implements Undertaking {
  before: Undertaking | undefined
  isOver = false
  givenUp = 0

  giveUp(): void {
    this.givenUp++
  }
}

describe('a caller', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  async function pass(ms: number): Promise<void> {
    await vi.advanceTimersByTimeAsync(ms)
    // Before anything expires, the event loop looks for answers twice.
    for (let round = 0; round < 3; round++) await new Promise((resolve) => setImmediate(resolve))
  }

  function call(work: (caller: Caller) => Promise<string>): Promise<string> {
    const deadlines = new CallDeadlines(1000)
    const told: Call = { operation: 'set', deadlines, startedAt: monotonicNow(), settled: () => undefined, onError: () => undefined }
    return answerInTime(work, told, undefined) as Promise<string>
  }

  it('gives up what is done for it a tenth of its time before it has to be answered, each once, and not what is over', async () => {
    const works = [new Work(), new Work(), new Work()]
    let fail: (error: unknown) => void = () => undefined
    const answer = call((caller) => {
      for (const work of works) caller.begin(work)
      return new Promise((_resolve, reject) => (fail = reject))
    })
    answer.catch(() => undefined)
    ;(works[1] as Work).isOver = true
    await pass(899)
    expect(works.map(({ givenUp }) => givenUp)).toEqual([0, 0, 0])
    await pass(1)
    expect(works.map(({ givenUp }) => givenUp)).toEqual([1, 0, 1])
    // What became of it comes in time.
    fail(new TimeoutError('set', 1000, 'not-written'))
    await expect(answer).rejects.toMatchObject({ outcome: 'not-written' })
    await pass(1000)
    expect(works.map(({ givenUp }) => givenUp)).toEqual([1, 0, 1])
    await pass(100)
    expect(vi.getTimerCount()).toBe(0)
  })

  it.each(['not-written', 'unknown'] as const)('is answered in time all the same, and told what is known: %s', async (outcome) => {
    let isAnswered = false
    const answer = call((caller) => {
      caller.outcome = outcome
      return new Promise(() => undefined)
    })
    answer.catch(() => {
      isAnswered = true
    })
    await pass(900)
    await pass(99)
    expect(isAnswered).toBe(false)
    await pass(1)
    await expect(answer).rejects.toEqual(new TimeoutError('set', 1000, outcome))
  })

  it('that has given up is given the answer, if it comes in time after all', async () => {
    let succeed: (answer: string) => void = () => undefined
    const answer = call(() => new Promise((resolve) => (succeed = resolve)))
    await pass(950)
    succeed('the answer')
    expect(await answer).toBe('the answer')
  })

  it('keeps no more of its time than half a second', () => {
    expect(new CallDeadlines(60_000).timeoutMs).toBe(59_500)
  })
})
