import { join } from 'node:path'
import FakeTimers, { type FakeMethod } from '@sinonjs/fake-timers'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { runProcess } from '../support/processes'
import { describeStores, shareDatabase } from '../support/stores'
import type { Input, Output } from './faked.worker.mts'

const WORKER = join(__dirname, 'faked.worker.mts')
/** The same at each run, so that a failure can be seen again. */
const SEED = 20_200_101

describeStores('under fake timers', (kind) => {
  const database = shareDatabase(kind)
  // mysql2 passes on its answers by process.nextTick, so there plain Knex has no answer either.
  const everything = (Object.keys(FakeTimers.timers) as FakeMethod[]).filter((method) => kind.name !== 'mysql' || method !== 'nextTick')
  const allBut = (one: FakeMethod) => everything.filter((method) => method !== one)

  async function failures(runs: readonly FakeMethod[][], loadedUnder?: FakeMethod[]): Promise<unknown> {
    const input = { config: database().config, runs, ...(loadedUnder && { loadedUnder }) }
    const result = await runProcess<Input, Output>(WORKER, input, { timeoutMs: 25_000 })
    return result.output?.failures ?? result
  }

  it('each call is answered, and nothing is left behind, whichever one thing is faked, or all but one, or all', async () => {
    const runs = [...everything.map((one) => [one]), ...everything.map(allBut), everything]
    expect(await failures(runs)).toEqual({})
  })

  it('the same for fifty random choices of what is faked', async () => {
    expect(await failures(fc.sample(fc.subarray(everything), { numRuns: 50, seed: SEED }))).toEqual({})
  })

  const early = [...everything.map((one) => [one]), everything].map((loadedUnder) => ({ what: loadedUnder.join(', '), loadedUnder }))
  it.each(early)('the same if the package is loaded while this is faked: $what', async ({ loadedUnder }) => {
    expect(await failures([[], everything, []], loadedUnder)).toEqual({})
  })

  it('mock timers of node:test, switched on and off at any moment, leave nothing that keeps the process alive', async () => {
    const file = join(__dirname, 'node-test.worker.mts')
    const result = await runProcess(file, { config: database().config }, { timeoutMs: 8000 })
    expect(result).toMatchObject({ output: ['ada', undefined, 'ada'], error: undefined, exitCode: 0, signal: null })
  })
})
