import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { Bounded, Deadlines } from '../../lib/calls/deadlines'
import { monotonicNow, standStill } from '../support/movable-natives'

vi.mock('../../lib/runtime/natives', () => import('../support/movable-natives.ts'))

class Call extends Bounded {
  expiredAt: number | undefined

  expire(): void {
    this.expiredAt = performance.now()
  }
}

const realImmediate = setImmediate

/** Milliseconds, less the rounds of the event loop that pass before anything expires. */
const inTens = (ms: number) => Math.floor(ms / 10) * 10

describe('deadlines', () => {
  // Once for all: the clock never goes back.
  beforeAll(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'performance'] })
  })

  afterAll(() => {
    vi.useRealTimers()
  })

  function begin(deadlines: Deadlines): Call {
    const call = new Call()
    deadlines.add(call, monotonicNow())
    return call
  }

  it('are met one by one, each in its own time, and those who were answered are left in peace', () => {
    const deadlines = new Deadlines(100)
    const start = performance.now()
    const first = begin(deadlines)
    vi.advanceTimersByTime(30)
    const answered = begin(deadlines)
    vi.advanceTimersByTime(30)
    const last = begin(deadlines)
    deadlines.remove(answered)
    vi.advanceTimersByTime(1000)
    const times = [first, answered, last].map(({ expiredAt }) => expiredAt && inTens(expiredAt - start))
    expect(times).toEqual([100, undefined, 160])
  })

  it('hold for who begins when another expires', () => {
    const deadlines = new Deadlines(100)
    let second: Call | undefined
    class Again extends Call {
      override expire(): void {
        second = begin(deadlines)
      }
    }
    deadlines.add(new Again(), monotonicNow())
    vi.advanceTimersByTime(99)
    expect(second).toBeUndefined()
    vi.advanceTimersByTime(100)
    expect(second).toMatchObject({ expiredAt: undefined })
    vi.advanceTimersByTime(10)
    expect(second?.expiredAt).toBeDefined()
  })

  it('give what became due while this process stood still a little more time, once', () => {
    const deadlines = new Deadlines(100)
    const start = performance.now()
    const [answeredLate, neverAnswered] = [begin(deadlines), begin(deadlines)]
    vi.advanceTimersByTime(10)
    standStill(5000)
    vi.advanceTimersByTime(90)
    expect([answeredLate.expiredAt, neverAnswered.expiredAt]).toEqual([undefined, undefined])
    deadlines.remove(answeredLate)
    vi.advanceTimersByTime(3000)
    expect(answeredLate.expiredAt).toBeUndefined()
    // By the clock of the timers, which stood still meanwhile.
    expect(inTens((neverAnswered.expiredAt as number) - start)).toBe(100 + 1000)
  })

  it('take one timer for all, and none when all are answered', async () => {
    const deadlines = new Deadlines(100)
    const calls = Array.from({ length: 50 }, () => begin(deadlines))
    expect(vi.getTimerCount()).toBe(1)
    // In another order than they began.
    for (const call of calls.sort(() => Math.random() - 0.5)) deadlines.remove(call)
    await new Promise((resolve) => realImmediate(resolve))
    expect(vi.getTimerCount()).toBe(0)
  })

  it('let nothing lead from who was answered to who still waits: what is old would keep what is young', () => {
    const deadlines = new Deadlines(100)
    const [first, middle, last] = [begin(deadlines), begin(deadlines), begin(deadlines)]
    deadlines.remove(middle)
    expect(middle).toMatchObject({ previous: undefined, next: undefined })
    expect(first.next).toBe(last)
    expect(last.previous).toBe(first)
    vi.advanceTimersByTime(200)
    expect([first, middle, last].map(({ expiredAt }) => expiredAt !== undefined)).toEqual([true, false, true])
  })
})
