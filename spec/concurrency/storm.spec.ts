import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Database, describeDatabases } from '../support/databases'
import { runProcesses } from '../support/processes'
import { handMade } from '../support/stores'
import type { Requests } from './requests.mts'
import { requestsAtOnce } from './storm.mts'
import type { Storm, StormResult } from './storm.worker.mts'
import { World } from './world'

const SESSION = 'one session'
const REQUESTS = 12
const ROUNDS = 5

/** Nothing waits for anything here, so only sums can be foretold; they are exact all the same. */
describeDatabases('many requests of one session at once', (database) => {
  describe('in three copies of the package', () => {
    it('each keep the key that they add', async () => {
      await using world = await openWorld(database)
      await Promise.all(worldsRequests(world, (requests, name) => requestsAtOnce(requests, SESSION, name, REQUESTS, 1)))
      expect(await keysOf(world)).toEqual(expectedKeys(names(world), REQUESTS, 1))
    })

    it('each keep their own count, save after save', async () => {
      await using world = await openWorld(database)
      await Promise.all(worldsRequests(world, (requests, name) => requestsAtOnce(requests, SESSION, name, REQUESTS, ROUNDS)))
      expect(await keysOf(world)).toEqual(expectedKeys(names(world), REQUESTS, ROUNDS))
    })

    it('delete what each of them deletes, and nothing else', async () => {
      await using world = await openWorld(database)
      const mine = (process: number, index: number) => `p${process}-${index}`
      const all = names(world).flatMap((_, process) => Array.from({ length: REQUESTS }, (_, index) => mine(process, index)))
      await world.process(0).store.set(SESSION, handMade({ kept: true, ...Object.fromEntries(all.map((key) => [key, 1])) }))
      await Promise.all(
        worldsRequests(world, async (requests, _, process) => {
          for (let index = 0; index < REQUESTS; index++) {
            await requests.attempt({ does: 'load', process, request: index, session: 0, as: 'request' }, [SESSION])
            await requests.attempt({ does: 'delete', request: index, key: mine(process, index) }, [SESSION])
          }
          await Promise.all(Array.from({ length: REQUESTS }, (_, request) => requests.attempt({ does: 'save', request }, [SESSION])))
        })
      )
      expect(await keysOf(world)).toEqual({ kept: true })
    })

    it('leave the latest of all expiries', async () => {
      await using world = await openWorld(database)
      const lives = Array.from({ length: 10 }, (_, index) => 90_000_000 + index * 1_000_000)
      const latest = Date.now() + 110_000_000
      await Promise.all(
        worldsRequests(world, async ({ store }, _, process) => {
          const session = handMade({}, { originalMaxAge: 110_000_000, expires: new Date(latest) })
          await Promise.all([
            ...lives.map((ms) => store.touch(SESSION, handMade({}, { originalMaxAge: ms, expires: new Date(Date.now() + ms) }))),
            process === 1 ? store.touch(SESSION, session) : undefined
          ])
        })
      )
      expect(await world.expiries(Date.now())).toEqual([latest])
    })

    it('never bring back a session once its destruction was answered', async () => {
      for (let round = 0; round < ROUNDS; round++) {
        await using world = await openWorld(database)
        let isDestroyed = false
        const revived: string[] = []
        await Promise.all(
          worldsRequests(world, async (requests, name, process) => {
            const work = Array.from({ length: REQUESTS }, async (_, index) => {
              const loaded = await requests.attempt({ does: 'load', process, request: index, session: 0, as: 'request' }, [SESSION])
              if (loaded.loaded === null) return
              await requests.attempt({ does: 'change', request: index, key: `${name}-${index}`, value: round }, [SESSION])
              await requests.attempt({ does: index % 2 === 0 ? 'save' : 'touch', request: index }, [SESSION])
              if (isDestroyed && (await requests.store.get(SESSION)) !== null) revived.push(`${name} ${index}`)
            })
            if (process === 1) {
              work.push(
                requests.store.destroy(SESSION).then(() => {
                  isDestroyed = true
                })
              )
            }
            await Promise.all(work)
          })
        )
        expect(revived).toEqual([])
        expect(await world.process(0).store.get(SESSION)).toBeNull()
      }
    })
  })

  it('keep all of their keys in four processes', async () => {
    await using opened = await database.open()
    const inputs: Storm[] = ['p0', 'p1', 'p2', 'p3'].map((name) => ({
      config: opened.config,
      name,
      sessionId: SESSION,
      requests: 10,
      rounds: 3
    }))
    const results = await runProcesses<Storm, StormResult>(join(__dirname, 'storm.worker.mts'), inputs)
    expect(results.map(({ error, stderr }) => error ?? stderr)).toEqual(['', '', '', ''])
    expect(results.flatMap(({ output }) => output?.errors)).toEqual([])
    const seen = results.map(({ output }) => output?.keys)
    for (const keys of seen) expect(keys).toEqual(expectedKeys(['p0', 'p1', 'p2', 'p3'], 10, 3))
  })
})

async function openWorld(database: Database): Promise<World> {
  const world = await World.open(database, [{}, {}, { batch: false }])
  await world.process(0).store.set(SESSION, handMade())
  return world
}

const names = (world: World) => Array.from({ length: world.processes }, (_, index) => `p${index}`)

function worldsRequests<T>(world: World, work: (requests: Requests, name: string, process: number) => Promise<T>): Promise<T>[] {
  return names(world).map((name, process) => work(world.process(process), name, process))
}

async function keysOf(world: World): Promise<object> {
  const { cookie: _, ...keys } = (await world.process(0).store.get(SESSION)) as object as Record<string, unknown>
  return keys
}

function expectedKeys(of: readonly string[], requests: number, rounds: number): Record<string, number> {
  return Object.fromEntries(of.flatMap((name) => Array.from({ length: requests }, (_, index) => [`${name}-${index}`, rounds])))
}
