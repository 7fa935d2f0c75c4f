import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { describeDatabases } from '../support/databases'
import { stepsOf } from './arbitraries'
import { Children } from './children'
import { follow } from './follow'
import { SessionModel } from './session-model'
import { World } from './world'

/** More of them: MODEL_RUNS=5000 npx vitest run spec/concurrency */
const RUNS = Number(process.env.MODEL_RUNS ?? 40)
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
  'the expiry that was loaded has passed',
  'all sessions of the owner were ended since the sign-in began'
]

describeDatabases('the requests of three processes, interleaved at random', (database) => {
  describe('in copies of the package', () => {
    beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'], now: START }))
    afterEach(() => void vi.useRealTimers())

    for (const conflict of ['merge', 'overwrite', 'error'] as const) {
      const runs = conflict === 'merge' ? RUNS : Math.ceil(RUNS / 3)
      it(`leave what the model has, with conflict: '${conflict}'`, { timeout: 30_000 + RUNS * 1000 }, async () => {
        await using world = await World.open(database, [{ conflict }, { conflict, batch: false }, { conflict }])
        const reached = new Map<string, number>()
        const property = fc.asyncProperty(stepsOf(PROCESSES), (steps) => follow(world, new SessionModel(conflict, START, reached), steps))
        await fc.assert(property, { numRuns: runs })
        if (conflict === 'merge' && runs >= 1000) expect([...reached.keys()].sort()).toEqual(SITUATIONS.sort())
      })
    }
  })

  describe('in processes', () => {
    it('leave what the model has', { timeout: 60_000 + RUNS * 1000 }, async () => {
      await using opened = await database.open()
      await using children = await Children.start(opened, PROCESSES)
      const property = fc.asyncProperty(stepsOf(PROCESSES), (steps) => follow(children, new SessionModel('merge', START), steps))
      await fc.assert(property, { numRuns: Math.ceil(RUNS / 3) })
    })
  })
})
