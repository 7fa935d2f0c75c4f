import fc from 'fast-check'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { describeDatabases } from '../support/databases'
import { arrivalsOf, beginningOf, changesOf, plainBeginningOf, stepsAtOnceOf } from './arbitraries'
import { SessionModel } from './session-model'
import type { Outcome, Step } from './steps.mts'
import { World } from './world'

const RUNS = Number(process.env.MODEL_RUNS ?? 40)
const START = Date.UTC(2030, 0, 1)
const PROCESSES = 2

beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'], now: START }))
afterEach(() => void vi.useRealTimers())

/**
 * Here the steps overlap: the scheduler lets their statements leave in an order of its own, so that one request's save falls between another's
 * failed update and the look that follows it. Whatever comes of it must be what the model has for one of the orders.
 */
describeDatabases('requests of two processes at once', (database) => {
  for (const conflict of ['merge', 'overwrite', 'error'] as const) {
    const runs = conflict === 'merge' ? RUNS : Math.ceil(RUNS / 3)
    it(`end as if one had come after the other, with conflict: '${conflict}'`, { timeout: 30_000 + RUNS * 1000 }, async () => {
      await using world = await World.open(database, [{ conflict }, { conflict, batch: false }])
      const steps = fc.tuple(beginningOf(PROCESSES), changesOf()).map((parts) => parts.flat())
      const property = fc.asyncProperty(steps, stepsAtOnceOf(PROCESSES), fc.scheduler(), (before, together, scheduler) =>
        overlap(world, new SessionModel(conflict, START), before, together, scheduler)
      )
      await fc.assert(property, { numRuns: runs })
    })
  }

  it('end so too where the session has to be moved from its plain id first', { timeout: 30_000 + RUNS * 1000 }, async () => {
    const upgradePlainIds = true
    await using world = await World.open(database, [{ upgradePlainIds }, { upgradePlainIds, batch: false }, { storedId: 'plain' }])
    const property = fc.asyncProperty(plainBeginningOf(PROCESSES), arrivalsOf(PROCESSES), fc.scheduler(), (before, together, scheduler) =>
      overlap(world, new SessionModel('merge', START), before, together, scheduler)
    )
    await fc.assert(property, { numRuns: RUNS })
  })
})

/** Does some steps one after the other, and then some at once, whose statements leave when the scheduler says. */
async function overlap(world: World, model: SessionModel, before: Step[], together: Step[], scheduler: fc.Scheduler): Promise<void> {
  await world.begin()
  for (const step of before.filter((step) => model.isPossible(step))) {
    expect(await world.perform(step, START)).toEqual(model.perform(step))
  }
  const possible = together.filter((step) => model.isPossible(step))
  world.gate = () => scheduler.schedule(Promise.resolve(), 'statement')
  const done = await scheduler.waitFor(world.together(possible))
  world.gate = undefined
  const actual = { ...done, after: await lookAt(world), expiries: await world.expiries(model.now) }
  const allowed = ordersOf(possible.length).map((order) => inOrder(model, world, possible, order))
  // One at least; if none, the difference from the given order is shown.
  if (!allowed.some((one) => JSON.stringify(sorted(one)) === JSON.stringify(sorted(actual)))) expect(actual).toEqual(allowed[0])
}

interface Result {
  readonly outcomes: readonly Omit<Outcome, 'events'>[]
  readonly events: readonly (readonly string[])[]
  readonly after: unknown
  readonly expiries: readonly number[]
}

function inOrder(model: SessionModel, world: World, steps: readonly Step[], order: readonly number[]): Result {
  const after = model.clone()
  const events: string[][] = Array.from({ length: world.processes }, () => [])
  const outcomes: Omit<Outcome, 'events'>[] = []
  for (const index of order) {
    const step = steps[index] as Step
    const { events: ofStep, ...outcome } = after.perform(step)
    outcomes[index] = outcome
    events[world.homeOf(step)]?.push(...ofStep)
  }
  return { outcomes, events, after: [0, 1].map((session) => after.view(session)), expiries: after.expiries() }
}

async function lookAt(world: World): Promise<unknown[]> {
  const views: unknown[] = []
  for (const session of [0, 1]) {
    views.push((await world.perform({ does: 'load', process: 0, request: 9, session, as: 'data' }, START)).loaded)
  }
  return views
}

/** The order of keys, and of the events of a process, is nobody's promise. */
function sorted({ outcomes, events, after, expiries }: Result): unknown {
  return canonical({ outcomes, events: events.map((ofProcess) => [...new Set(ofProcess)].sort()), after, expiries })
}

function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([key, item]) => [key, canonical(item)] as const)
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)))
}

function ordersOf(length: number): number[][] {
  if (length === 0) return [[]]
  return ordersOf(length - 1).flatMap((order) =>
    Array.from({ length }, (_, place) => [...order.slice(0, place), length - 1, ...order.slice(place)])
  )
}
