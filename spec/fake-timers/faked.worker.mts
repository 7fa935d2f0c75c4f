import { createRequire } from 'node:module'
import FakeTimers, { type FakeMethod } from '@sinonjs/fake-timers'
import createKnex, { type Knex } from 'knex'
import type { Worker } from '../support/processes.ts'

const require = createRequire(import.meta.url)

export interface Input {
  readonly config: Knex.Config
  /** What is faked, one run after the other in this process. */
  readonly runs: readonly FakeMethod[][]
  /** When the package is loaded: before anything is faked, or while this is. Then the process can make one run only. */
  readonly loadedUnder?: FakeMethod[]
}

export interface Output {
  /** What went wrong, by what was faked; empty if all went well. */
  readonly failures: Record<string, string>
}

/** Long enough for a slow machine, and far below what a call waits for when its answer is lost. */
const ANSWER_MS = 3000

const realSetTimeout = setTimeout
const realClearTimeout = clearTimeout
const realNow = performance.now.bind(performance)

/** The promise's value, or an error where it has none within the time of the real clock. */
function inTime<T>(promise: Promise<T>, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = realSetTimeout(() => reject(new Error(`${what} had no answer`)), ANSWER_MS)
    promise.then(resolve, reject).finally(() => realClearTimeout(timer))
  })
}

export default (async ({ config, runs, loadedUnder }) => {
  const early = loadedUnder === undefined ? undefined : FakeTimers.install({ toFake: loadedUnder })
  const { KnexSessionStore } = require('knex-session-store')
  early?.uninstall()
  const failures: Record<string, string> = {}
  const knex = createKnex(config)
  // Before anything is faked: the driver and the pool may need their own timers to connect.
  await Promise.all(Array.from({ length: 4 }, () => knex.raw('SELECT 1')))
  const store = new KnexSessionStore({ knex, pruneIntervalMs: false, timeoutMs: 60_000 })
  const session = (user: string) => ({ cookie: { originalMaxAge: 3_600_000, expires: new Date(Date.now() + 3_600_000) }, user })
  await store.set('warm', session('warm'))

  const exercise = async (when: string) => {
    const id = `${when}-${Math.random()}`
    const byCallback = new Promise((resolve, reject) =>
      store.get('warm', (error: unknown, found: { user: string } | null) => (error ? reject(error) : resolve(found?.user)))
    )
    if ((await inTime(byCallback, `${when}: get by callback`)) !== 'warm') throw new Error(`${when}: another session`)
    await inTime(store.set(id, session(when)), `${when}: set`)
    // Many at once, and a straggler two ticks later: it waits for company, but not for ever.
    const many = Array.from({ length: 20 }, () => store.get(id))
    await null
    await null
    many.push(store.get('warm'))
    await inTime(Promise.all(many), `${when}: twenty gets and a straggler`)
    await inTime(store.touch(id, await store.get(id)), `${when}: touch`)
    await inTime(store.destroy(id), `${when}: destroy`)
    const { latencyMs } = await inTime(store.health() as Promise<{ latencyMs: number }>, `${when}: health`)
    if (!(latencyMs > 0)) throw new Error(`${when}: no time passed`)
    if ((await inTime(store.get(id), `${when}: get of a destroyed one`)) !== null) throw new Error(`${when}: it lives`)
  }

  for (const toFake of runs) {
    const what = toFake.join('+') || 'nothing'
    try {
      await exercise('before')
      const start = realNow()
      // With an empty list everything would be faked.
      const clock = toFake.length === 0 ? undefined : FakeTimers.install({ toFake: [...toFake], now: Date.now() })
      const underWay: Promise<unknown>[] = []
      try {
        await exercise('under fakes')
        // Under way when the fakes go: what they have not run is dropped.
        underWay.push(store.get('warm'), store.set('left', session('left')), store.touch('warm', session('warm')))
      } finally {
        clock?.uninstall()
      }
      await inTime(Promise.all(underWay), 'under way when the fakes went')
      await exercise('after')
      if (realNow() - start > ANSWER_MS) throw new Error(`it took ${Math.round(realNow() - start)} ms`)
      // What the store borrowed lies in the pool again.
      await inTime(idle(knex), 'the pool')
    } catch (error) {
      failures[what] = (error as Error).message
    }
  }
  await inTime(store.close(), 'close')
  await inTime(knex.destroy(), 'destroy')
  return { failures }
}) satisfies Worker<Input, Output>

async function idle(knex: Knex): Promise<void> {
  while (knex.client.pool.numUsed() > 0) await new Promise((resolve) => realSetTimeout(resolve, 5))
}
