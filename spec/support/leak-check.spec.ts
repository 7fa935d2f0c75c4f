import { setTimeout as timerOfNode } from 'node:timers'
import createKnex from 'knex'
import { describe, expect, it, vi } from 'vitest'
import { databaseNamed } from './databases'
import { beginSpec, failOnLeaks, type Leak, leaksOfSpec, watchKnex } from './leaks'

const WITHOUT_SETTLING = 0
const whats = (leaks: readonly Leak[]) => leaks.map(({ what }) => what)
const doNothing = () => undefined

describe('the leak check finds', () => {
  it('a timer, though it is unref’ed, until it is cleared', async () => {
    const timer = setTimeout(doNothing, 60_000).unref()
    const interval = setInterval(doNothing, 60_000).unref()
    const leaks = await leaksOfSpec(WITHOUT_SETTLING)
    expect(whats(leaks)).toEqual(['timer', 'timer'])
    expect(leaks[0]?.detail).toContain('leak-check.spec.ts')
    clearTimeout(timer)
    clearInterval(interval)
    expect(await leaksOfSpec(WITHOUT_SETTLING)).toEqual([])
  })

  it('a timer of node:timers', async () => {
    const timer = timerOfNode(doNothing, 60_000)
    expect(whats(await leaksOfSpec(WITHOUT_SETTLING))).toEqual(['timer'])
    clearTimeout(timer)
  })

  it('an open transaction, until it ends', async () => {
    await using opened = await databaseNamed('sqlite').open()
    const transaction = await opened.knex.transaction()
    expect(whats(await leaksOfSpec(WITHOUT_SETTLING))).toEqual(['connection'])
    await transaction.rollback()
    expect(await leaksOfSpec(WITHOUT_SETTLING)).toEqual([])
  })

  it('a query that still waits for a connection', async () => {
    await using opened = await databaseNamed('sqlite').open()
    const transaction = await opened.knex.transaction()
    const waiting = opened.knex.raw('SELECT 1').then(doNothing)
    const [leak] = await leaksOfSpec(WITHOUT_SETTLING)
    expect(leak?.detail).toMatch(/^2 connection/)
    await transaction.rollback()
    await waiting
  })

  it('a connection also under fake timers', async () => {
    vi.useFakeTimers()
    const knex = createKnex({ client: 'better-sqlite3', connection: { filename: ':memory:' }, useNullAsDefault: true })
    watchKnex(knex)
    const transaction = await knex.transaction()
    expect(whats(await leaksOfSpec(20))).toEqual(['connection'])
    await transaction.rollback()
    await knex.destroy()
    vi.useRealTimers()
  })
})

describe('the leak check is silent about', () => {
  it('timers that have run', async () => {
    await new Promise((resolve) => setTimeout(resolve, 1))
    expect(await leaksOfSpec(WITHOUT_SETTLING)).toEqual([])
  })

  it('timers that others make: a pool reaps its idle connections', async () => {
    await using opened = await databaseNamed('sqlite').open()
    await opened.knex.raw('SELECT 1')
    expect(await leaksOfSpec(WITHOUT_SETTLING)).toEqual([])
  })

  it('what was open before the spec', async () => {
    const timer = setTimeout(doNothing, 60_000)
    beginSpec()
    expect(await leaksOfSpec(WITHOUT_SETTLING)).toEqual([])
    clearTimeout(timer)
  })

  it('what is given back a moment later', async () => {
    setTimeout(doNothing, 50)
    expect(await leaksOfSpec()).toEqual([])
  })
})

it('a leak fails the spec with its place', () => {
  expect(() => failOnLeaks('spec', [])).not.toThrow()
  expect(() => failOnLeaks('spec', [{ what: 'timer', detail: 'made at here.ts:1' }])).toThrow(
    'this spec leaves open:\n  timer: made at here.ts:1'
  )
})
