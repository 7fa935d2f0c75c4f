import fc from 'fast-check'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { describeDatabases } from '../support/databases'
import { stepsOf } from './arbitraries'
import { SessionModel } from './session-model'
import type { Step } from './steps.mts'
import { World } from './world'

/** More of them: MODEL_RUNS=5000 npx vitest run spec/concurrency */
const RUNS = Number(process.env.MODEL_RUNS ?? 60)
const START = Date.UTC(2030, 0, 1)
const PROCESSES = 3
/** What a thousand runs are sure to meet; a generator that no longer does would prove nothing. */
const SITUATIONS = [
  'a changed session is dead',
  'an unchanged session is dead',
  'another wrote the same',
  'another wrote meanwhile',
  'another wrote since this request saved',
  'a key is changed on both sides',
  'a key is deleted here and changed there',
  'a life is shortened',
  'another renewed for longer',
  'the expiry that was loaded has passed'
]

beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'], now: START }))
afterEach(() => void vi.useRealTimers())

describeDatabases('the requests of three processes, interleaved at random', (database) => {
  for (const conflict of ['merge', 'overwrite', 'error'] as const) {
    const runs = conflict === 'merge' ? RUNS : Math.ceil(RUNS / 3)
    it(`leave what the model has, with conflict: '${conflict}'`, { timeout: 30_000 + RUNS * 1000 }, async () => {
      await using world = await World.open(database, [{ conflict }, { conflict, batch: false }, { conflict }])
      const reached = new Map<string, number>()
      const property = fc.asyncProperty(stepsOf(PROCESSES), async (steps) => {
        const model = new SessionModel(conflict, START, reached)
        await follow(world, model, steps)
      })
      await fc.assert(property, { numRuns: runs })
      if (conflict === 'merge' && runs >= 1000) expect([...reached.keys()].sort()).toEqual(SITUATIONS.sort())
    })
  }
})

async function follow(world: World, model: SessionModel, steps: readonly Step[]): Promise<void> {
  await world.begin(START)
  for (const step of steps) {
    if (!model.isPossible(step)) continue
    const expected = model.perform(step)
    vi.setSystemTime(model.now)
    expect(await world.perform(step), JSON.stringify(step)).toEqual(expected)
  }
  for (const session of [0, 1]) {
    for (let process = 0; process < world.processes; process++) {
      const load: Step = { does: 'load', process, request: 9, session, as: 'data' }
      expect(await world.perform(load)).toEqual({ loaded: model.view(session), events: [] })
    }
  }
  expect(await world.expiries(model.now)).toEqual(model.expiries())
}
