import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Pruner, type PrunerOptions, pruneAll } from '../../lib/table/pruner'
import { GRACE_MS } from '../../lib/table/session-table'
import { PATIENT } from '../support/patience'
import { describeStores, handMade, openStore, StatementLog, shareDatabase } from '../support/stores'

vi.mock('../../lib/runtime/natives', () => import('../support/movable-natives.ts'))

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

describe('the pruner', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  })

  afterEach(() => {
    vi.useRealTimers()
  })

  function prunerWith(options: Partial<PrunerOptions> = {}) {
    const log: string[] = []
    const pruner = new Pruner({
      intervalMs: 1000,
      batchSize: 10,
      claim: async (leaseMs) => {
        log.push(`claim for ${leaseMs}`)
        return true
      },
      prune: async (limit) => {
        log.push(`prune ${limit}`)
        return 0
      },
      isAlive: () => true,
      ...options
    })
    return { pruner, log }
  }
  const member = () => ({ onError: vi.fn() })

  it('does nothing before it has a member, and nothing at once', async () => {
    const { pruner, log } = prunerWith()
    await vi.advanceTimersByTimeAsync(5000)
    const store = member()
    pruner.join(store)
    await vi.advanceTimersByTimeAsync(749)
    expect(log).toEqual([])
    await pruner.leave(store)
  })

  it('prunes about every interval, not always after the same time, and claims less than that', async () => {
    const { pruner, log } = prunerWith()
    const store = member()
    pruner.join(store)
    const rounds: number[] = []
    for (let ms = 0; ms < 20_000; ms += 10) {
      await vi.advanceTimersByTimeAsync(10)
      if (log.splice(0).length > 0) rounds.push(ms)
    }
    const pauses = rounds.map((at, round) => at - (rounds[round - 1] ?? 0))
    expect(rounds.length).toBeGreaterThanOrEqual(16)
    expect(rounds.length).toBeLessThanOrEqual(27)
    expect(Math.min(...pauses)).toBeGreaterThanOrEqual(740)
    expect(Math.max(...pauses)).toBeLessThanOrEqual(1260)
    expect(new Set(pauses).size).toBeGreaterThan(3)
    await pruner.leave(store)
  })

  it('deletes batch after batch, until one is not full', async () => {
    const rows = [10, 10, 3]
    const { pruner, log } = prunerWith({
      prune: async (limit) => {
        log.push(`prune ${limit}`)
        return rows.shift() ?? 0
      }
    })
    const store = member()
    pruner.join(store)
    await vi.advanceTimersByTimeAsync(1260)
    await vi.waitUntil(() => rows.length === 0, PATIENT)
    expect(log).toEqual(['claim for 700', 'prune 10', 'prune 10', 'prune 10'])
    await pruner.leave(store)
  })

  it('leaves the round to another who has claimed it', async () => {
    const { pruner, log } = prunerWith({ claim: async () => false })
    const store = member()
    pruner.join(store)
    await vi.advanceTimersByTimeAsync(5000)
    expect(log).toEqual([])
    await pruner.leave(store)
  })

  it('tells each member of a round that failed, and goes on', async () => {
    let rounds = 0
    const error = new TypeError('on purpose')
    const { pruner } = prunerWith({
      claim: async () => {
        rounds++
        throw error
      }
    })
    const [one, other] = [member(), member()]
    pruner.join(one)
    pruner.join(other)
    await vi.advanceTimersByTimeAsync(3000)
    expect(rounds).toBeGreaterThanOrEqual(2)
    for (const { onError } of [one, other]) expect(onError.mock.calls).toEqual(Array(rounds).fill([error]))
    await pruner.leave(one)
    await pruner.leave(other)
  })

  it('goes on until the last member has left', async () => {
    const { pruner, log } = prunerWith()
    const [one, other] = [member(), member()]
    pruner.join(one)
    pruner.join(other)
    await pruner.leave(one)
    await vi.advanceTimersByTimeAsync(1260)
    expect(log.splice(0)).not.toEqual([])
    await pruner.leave(other)
    await vi.advanceTimersByTimeAsync(5000)
    expect(log).toEqual([])
  })

  it('begins again with a new member', async () => {
    const { pruner, log } = prunerWith()
    const [one, other] = [member(), member()]
    pruner.join(one)
    await pruner.leave(one)
    pruner.join(other)
    await vi.advanceTimersByTimeAsync(1260)
    expect(log.filter((line) => line.startsWith('claim'))).toHaveLength(1)
    await pruner.leave(other)
  })

  it('is left when the batch under way is done, not when all is', async () => {
    let finish = (_pruned: number) => {}
    const { pruner, log } = prunerWith({
      prune: (limit) => {
        log.push(`prune ${limit}`)
        return new Promise((resolve) => {
          finish = resolve
        })
      }
    })
    const store = member()
    pruner.join(store)
    await vi.advanceTimersByTimeAsync(1260)
    let left = false
    const leaving = pruner.leave(store).then(() => {
      left = true
    })
    await vi.advanceTimersByTimeAsync(5000)
    expect(left).toBe(false)
    finish(10)
    await leaving
    expect(log).toEqual(['claim for 700', 'prune 10'])
  })

  it('rests while its Knex is destroyed, and goes on when that is initialised again', async () => {
    let isAlive = false
    const { pruner, log } = prunerWith({ isAlive: () => isAlive })
    const store = member()
    pruner.join(store)
    await vi.advanceTimersByTimeAsync(5000)
    expect(log).toEqual([])
    isAlive = true
    await vi.advanceTimersByTimeAsync(1260)
    expect(log).not.toEqual([])
    await pruner.leave(store)
  })

  it('keeps no process alive', () => {
    const { pruner } = prunerWith()
    const made = vi.spyOn(globalThis, 'setTimeout')
    const store = member()
    pruner.join(store)
    expect(made.mock.results.map(({ value }) => (value as NodeJS.Timeout).hasRef())).toEqual([false])
    made.mockRestore()
    return pruner.leave(store)
  })
})

it('all that can be pruned is, and counted', async () => {
  const rows = [5, 5, 5, 2]
  expect(await pruneAll(async () => rows.shift() ?? 0, 5)).toBe(17)
  expect(rows).toEqual([])
})

/** The statement that deletes a batch, whatever else a database is asked before or after it. */
const DELETE_SOME = /delete[\s\S]*limit/i

describeStores('pruning', (kind) => {
  const database = shareDatabase(kind)
  /** Sessions that ended so many milliseconds ago, or will end. */
  const write = async (opened: Awaited<ReturnType<typeof openStore>>, endedAgo: readonly number[]) => {
    for (const [number, ago] of endedAgo.entries()) {
      await opened.another({ storedId: 'plain' }).set(`${number}`, handMade({}, { expires: new Date(Date.now() - ago) }))
    }
  }
  const ids = async ({ knex, tableName }: Awaited<ReturnType<typeof openStore>>) =>
    (await knex(tableName).orderBy('id').pluck('id')).filter((id: string) => !id.startsWith('knex-session-store:'))

  it('deletes what ended longer ago than a request may live, and nothing else', async () => {
    await using opened = await openStore(database())
    await write(opened, [DAY, HOUR, GRACE_MS + 5000, GRACE_MS - 5000, 0, -1000, -HOUR, -400 * DAY])
    expect(await opened.store.prune()).toBe(3)
    expect(await ids(opened)).toEqual(['3', '4', '5', '6', '7'])
    expect(await opened.store.prune()).toBe(0)
  })

  it('deletes destroyed sessions too, when nobody can write them back any more', async () => {
    const clock = { now: Date.now() }
    await using opened = await openStore(database(), { clock: () => clock.now })
    for (const [id, ago] of Object.entries({ recent: 0, old: 3 * HOUR })) {
      clock.now = Date.now() - ago
      await opened.store.set(id, handMade())
      await opened.store.destroy(id)
    }
    clock.now = Date.now()
    expect(await opened.store.prune()).toBe(1)
    expect(await ids(opened)).toHaveLength(1)
  })

  it('deletes what is dead by the clock of the database, and nobody alive, on a host whose clock is a day ahead', async () => {
    await using opened = await openStore(database(), { clock: () => Date.now() + DAY })
    await write(opened, [HOUR, -1000, -HOUR, -2 * DAY])
    expect(await opened.store.prune()).toBe(1)
    expect(await ids(opened)).toEqual(['1', '2', '3'])
  })

  it('leaves on a host whose clock is a day behind what lives there, and deletes what is dead by both clocks', async () => {
    await using opened = await openStore(database(), { clock: () => Date.now() - DAY })
    await write(opened, [DAY + HOUR, HOUR, -1000, -2 * DAY])
    expect(await opened.store.prune()).toBe(1)
    expect(await ids(opened)).toEqual(['1', '2', '3'])
  })

  it.each([
    ['1970', 1000],
    ['2099', Date.UTC(2099, 0, 1)]
  ])('deletes nothing that lives by the clock of a store in %s', async (_year, start) => {
    const clock = { now: start }
    await using opened = await openStore(database(), { clock: () => clock.now })
    await opened.store.set('alive', handMade({ is: 'alive' }))
    expect(await opened.store.prune()).toBe(0)
    expect(await opened.store.get('alive')).toMatchObject({ is: 'alive' })
    clock.now += DAY + GRACE_MS + 5000
    await opened.store.set('alive too', handMade({ is: 'alive' }))
    // Dead by the clock of the store. By the clock of the database it is dead in 1970 alone.
    expect(await opened.store.prune()).toBe(start === 1000 ? 1 : 0)
    expect(await opened.store.get('alive too')).toMatchObject({ is: 'alive' })
  })

  it('by a timer deletes nothing that lives by the clock of a store in 1970', async () => {
    const claims: unknown[] = []
    await using opened = await openStore(database(), { clock: () => 1000 })
    await opened.store.set('alive', handMade({ is: 'alive' }))
    const knex = opened.database.connect()
    knex.on('query', ({ sql }) => {
      if (/\bdelete\b/i.test(sql)) claims.push(sql)
    })
    const pruning = opened.another({ knex, clock: () => 1000, pruneIntervalMs: 20 })
    await pruning.get('any')
    await vi.waitUntil(() => claims.length >= 2, PATIENT)
    await pruning.close()
    expect(await opened.store.get('alive')).toMatchObject({ is: 'alive' })
  })

  it('goes in batches', async () => {
    await using opened = await openStore(database(), { pruneBatchSize: 10 })
    await opened.store.ready()
    const template = { data: '{}', expires_at: 5, expires_hour: 1, revision: 1, created_at: 1, last_seen_at: 1 }
    await opened.knex(opened.tableName).insert(Array.from({ length: 25 }, (_, number) => ({ id: `dead ${number}`, ...template })))
    const log = new StatementLog(opened.knex)
    expect(await opened.store.prune()).toBe(25)
    expect(log.statements.filter((sql) => DELETE_SOME.test(sql))).toHaveLength(3)
    expect(await ids(opened)).toEqual([])
  })

  it('is done by one of several hosts at a time', async () => {
    await using opened = await openStore(database())
    await opened.store.ready()
    const { tableName } = opened
    const hosts = Array.from({ length: 4 }, () => {
      const knex = opened.database.connect()
      return { knex, log: new StatementLog(knex), store: opened.another({ knex, pruneIntervalMs: 200 }) }
    })
    await Promise.all(hosts.map(({ store }) => store.get('any')))
    const begin = performance.now()
    const count = () => hosts.reduce((total, { log }) => total + log.statements.filter((sql) => DELETE_SOME.test(sql)).length, 0)
    await vi.waitUntil(() => count() >= 4, { timeout: 20_000, interval: 10 })
    await Promise.all(hosts.map(({ store }) => store.close()))
    const leases = (performance.now() - begin) / 140
    // Without the lease there would be four times as many.
    expect(count()).toBeLessThanOrEqual(leases + 1)
    expect(await opened.store.length()).toBe(0)
    expect(await opened.knex(tableName)).toHaveLength(1)
  })

  it('by a timer tells onError where it fails, and goes on when it can', async () => {
    const errors: unknown[] = []
    await using opened = await openStore(database())
    await opened.store.set('dead', handMade({}, { expires: new Date(Date.now() - DAY) }))
    const knex = opened.database.connect()
    const store = opened.another({ knex, pruneIntervalMs: 20, createTable: false, onError: (error) => errors.push(error) })
    await store.get('any')
    await opened.knex.schema.renameTable(opened.tableName, `${opened.tableName}_away`)
    await vi.waitUntil(() => errors.length > 0, PATIENT)
    expect(errors[0]).toMatchObject({ code: 'ERR_SESSION_TABLE_MISSING' })
    await opened.knex.schema.renameTable(`${opened.tableName}_away`, opened.tableName)
    await vi.waitUntil(async () => (await ids(opened)).length === 0, PATIENT)
    await store.close()
  })

  if (kind.name !== 'sqlite') {
    it('leaves to others what they have locked', async () => {
      await using opened = await openStore(database())
      await write(opened, [DAY, DAY, DAY])
      const trx = await opened.knex.transaction()
      await trx(opened.tableName).where('id', '1').forUpdate()
      expect(await opened.store.prune()).toBe(2)
      await trx.rollback()
      expect(await opened.store.prune()).toBe(1)
    })
  }
})
