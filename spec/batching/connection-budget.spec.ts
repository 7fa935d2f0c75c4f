import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ConnectionBudget } from '../../lib/batching/connection-budget'

const settle = () => new Promise((resolve) => setImmediate(resolve))

/** Works that use the budget, each until it is ended. */
class Works {
  readonly begun: string[] = []
  readonly #ends = new Map<string, () => void>()
  most = 0
  using = 0

  constructor(readonly budget: ConnectionBudget) {}

  begin(name: string): Promise<string> {
    return this.budget.use(async () => {
      this.begun.push(name)
      this.most = Math.max(this.most, ++this.using)
      await new Promise<void>((resolve) => this.#ends.set(name, resolve))
      this.using--
      return name
    })
  }

  async end(name: string): Promise<void> {
    this.#ends.get(name)?.()
    await settle()
  }
}

describe('the budget of connections', () => {
  it('is taken by who leaves some to others when these are left', () => {
    const budget = new ConnectionBudget(2)
    const called: string[] = []
    const waiting = (name: string) => ({ proceed: () => called.push(name) })
    expect(budget.take(waiting('first'), 1)).toBe(true)
    expect(budget.take(waiting('modest'), 1)).toBe(false)
    expect(budget.take(waiting('second'))).toBe(true)
    expect(budget.take(waiting('third'))).toBe(false)
    budget.giveBack()
    // One is in use, and one has to be left.
    expect(called).toEqual(['third'])
    budget.giveBack()
    expect(called).toEqual(['third', 'modest'])
  })

  it('is never exceeded, and those who wait are served in turn', async () => {
    const works = new Works(new ConnectionBudget(2))
    const all = [...'abcd'].map((name) => works.begin(name))
    await settle()
    expect(works.begun).toEqual(['a', 'b'])
    await works.end('b')
    expect(works.begun).toEqual(['a', 'b', 'c'])
    await works.end('a')
    expect(works.begun).toEqual(['a', 'b', 'c', 'd'])
    await works.end('c')
    await works.end('d')
    expect(await Promise.all(all)).toEqual([...'abcd'])
    expect(works.most).toBe(2)
  })

  it('gets back what a failing work has used', async () => {
    const budget = new ConnectionBudget(1)
    const failing = budget.use(async () => {
      throw new TypeError('on purpose')
    })
    const next = budget.use(async () => 'served')
    await expect(failing).rejects.toThrow('on purpose')
    expect(await next).toBe('served')
  })

  it('can only be lowered, so that each of several stores keeps its promise', async () => {
    const budget = new ConnectionBudget(4)
    budget.lowerTo(2)
    budget.lowerTo(8)
    const works = new Works(budget)
    const all = [...'abc'].map((name) => works.begin(name))
    await settle()
    expect(works.begun).toEqual(['a', 'b'])
    for (const name of 'abc') await works.end(name)
    await Promise.all(all)
  })

  it('goes on to the next where one who waited needs nothing any more', async () => {
    const works = new Works(new ConnectionBudget(1))
    const first = works.begin('a')
    await settle()
    works.budget.take({ proceed: () => undefined })
    const next = works.begin('b')
    await works.end('a')
    expect(works.begun).toEqual(['a', 'b'])
    await works.end('b')
    await Promise.all([first, next])
  })

  it('is kept and used up, whatever begins and ends when', async () => {
    const step = fc.oneof(fc.constant('begin'), fc.constant('end'), fc.constant('settle'))
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 4 }), fc.array(step, { maxLength: 40 }), async (max, steps) => {
        const works = new Works(new ConnectionBudget(max))
        const all: Promise<string>[] = []
        let ended = 0
        for (const what of steps) {
          if (what === 'begin') all.push(works.begin(String(all.length)))
          else if (what === 'end' && ended < works.begun.length) await works.end(String(ended++))
          else await settle()
        }
        await settle()
        expect(works.using).toBe(Math.min(max, all.length - ended))
        while (ended < all.length) await works.end(String(ended++))
        await Promise.all(all)
        expect(works.most).toBeLessThanOrEqual(max)
      }),
      { numRuns: 50 }
    )
  })
})
