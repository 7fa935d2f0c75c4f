import { readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { createSessionsTable, type KnexSessionStore } from '../../lib'
import { describeDatabase } from '../support/databases'
import { holdLock } from '../support/file-lock'
import { handMade, type OpenStore, openStore, type StoreOptions } from '../support/stores'

/** Wide, for the file may be on a slow disk. Waiting in the driver would take a whole second or five. */
const STANDSTILL_MS = 700

/** Wide, for other processes run beside this one. The locks stay for longer. */
const LATE_MS = 10_000

/** For how long this thread was ready to run while the processors ran others, in milliseconds, where the system tells. That is no standstill of ours. */
function crowdedOutMs(): number {
  try {
    const [, waitedNs] = readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ')
    return Number(waitedNs) / 1e6
  } catch {
    return 0
  }
}

/** The outcome of the work, how long it took, and the longest time that this process stood still meanwhile. */
async function watched<T>(work: () => Promise<T>): Promise<{ value: T | undefined; error: unknown; ms: number; longestMs: number }> {
  const begin = performance.now()
  let ms: number | undefined
  let value: T | undefined
  let error: unknown
  let longestMs = 0
  const now = () => performance.now() - crowdedOutMs()
  let last = now()
  const done = work().then(
    (result) => {
      value = result
      ms = performance.now() - begin
    },
    (caught) => {
      error = caught
      ms = performance.now() - begin
    }
  )
  while (ms === undefined) {
    await new Promise(setImmediate)
    longestMs = Math.max(longestMs, now() - last)
    last = now()
  }
  await done
  return { value, error, ms, longestMs }
}

const busyTimeout = async ({ knex }: OpenStore) => (await knex.raw('PRAGMA busy_timeout'))[0].timeout

describeDatabase('sqlite', 'a lock that another process holds', (kind) => {
  const openIn = async (mode: 'WAL' | 'DELETE', options: StoreOptions = {}): Promise<OpenStore> => {
    const opened = await openStore(kind, options)
    await opened.knex.raw(`PRAGMA journal_mode = ${mode}`)
    // With more time than the store of the spec may have.
    const patient = opened.another()
    await patient.set('there', handMade({ is: 'there' }))
    await patient.set('to destroy', handMade())
    await opened.store.ready()
    return opened
  }
  const writes: Record<string, (store: KnexSessionStore) => Promise<unknown>> = {
    set: (store) => store.set('new', handMade({ is: 'new' })),
    'many sets': (store) => Promise.all(Array.from({ length: 20 }, (_, number) => store.set(`new ${number}`, handMade({ number })))),
    touch: (store) => store.touch('there', handMade({}, { originalMaxAge: 1e9, maxAge: 1e9 })),
    destroy: (store) => store.destroy('to destroy'),
    prune: (store) => store.prune(),
    clear: (store) => store.clear()
  }
  const cases = [
    { mode: 'WAL', lock: 'write' },
    { mode: 'DELETE', lock: 'write' },
    { mode: 'DELETE', lock: 'exclusive' },
    { mode: 'DELETE', lock: 'read' }
  ] as const

  // The store gives up its wait for the lock a tenth earlier, and then says so. On a busy machine that takes a moment.
  const timeoutMs = 1600
  for (const { mode, lock } of cases) {
    describe(`${lock} lock, journal mode ${mode}`, () => {
      for (const [name, write] of Object.entries(writes)) {
        it(`${name} is answered when timeoutMs is over, while this process goes on`, async () => {
          await using opened = await openIn(mode, { timeoutMs })
          await using _held = await holdLock(opened.database.url, lock)
          const { error, ms, longestMs } = await watched(() => write(opened.store))
          // A batch of writes that hits nothing needs no lock that a reader prevents.
          if (lock === 'read' && error === undefined) return expect(name).toBe('prune')
          expect(error).toMatchObject({ code: 'ERR_SESSION_DATABASE_LOCKED' })
          const [, waitedMs] =
            /another connection holds a lock of the database file, and did not release it within (\d+) ms \(option timeoutMs\)/.exec(
              (error as Error).message
            ) ?? []
          expect(Number(waitedMs)).toBeGreaterThan(0.85 * timeoutMs)
          expect(Number(waitedMs)).toBeLessThan(timeoutMs + LATE_MS)
          expect(ms).toBeGreaterThan(0.85 * timeoutMs)
          expect(ms).toBeLessThan(timeoutMs + LATE_MS)
          expect(longestMs).toBeLessThan(STANDSTILL_MS)
        })

        it(`${name} succeeds when the lock goes, while this process goes on`, async () => {
          await using opened = await openIn(mode, { timeoutMs: 10_000 })
          await using held = await holdLock(opened.database.url, lock)
          const released = pause(1000).then(() => held.release())
          const { error, longestMs } = await watched(() => write(opened.store))
          expect(error).toBeUndefined()
          expect(longestMs).toBeLessThan(STANDSTILL_MS)
          await released
        })
      }

      it('leaves the busy timeout of the application as it was', async () => {
        await using opened = await openIn(mode, { timeoutMs: 1000 })
        expect(await busyTimeout(opened)).toBe(5000)
        for (const ms of [1234, 0, 77]) {
          await opened.knex.raw(`PRAGMA busy_timeout = ${ms}`)
          const held = await holdLock(opened.database.url, lock)
          await Promise.allSettled([...Object.values(writes).map((write) => write(opened.store)), opened.store.get('there')])
          expect(await busyTimeout(opened)).toBe(ms)
          await held.release()
          await opened.store.set('there', handMade())
          await opened.store.get('there')
          expect(await busyTimeout(opened)).toBe(ms)
        }
      })
    })
  }

  it('does not delay reads in WAL mode, nor statements of the application, also while writes wait', async () => {
    await using opened = await openIn('WAL', { timeoutMs: 10_000 })
    await using held = await holdLock(opened.database.url, 'write')
    const waiting = opened.store.set('new', handMade({ is: 'new' }))
    const { value, ms } = await watched(async () => {
      const found: unknown[] = []
      for (let round = 0; round < 20; round++) {
        found.push(await opened.store.get('there'), await opened.knex.raw('SELECT 1'))
        await new Promise(setImmediate)
      }
      return found
    })
    expect(value).toHaveLength(40)
    expect(value?.[0]).toMatchObject({ is: 'there' })
    // Else they would wait for the lock.
    expect(ms).toBeLessThan(8000)
    await held.release()
    await waiting
    expect(await opened.store.get('new')).toMatchObject({ is: 'new' })
  })

  it('lets a read outside WAL mode wait without stopping this process', async () => {
    await using opened = await openIn('DELETE', { timeoutMs: 10_000 })
    await using held = await holdLock(opened.database.url, 'exclusive')
    const released = pause(1000).then(() => held.release())
    const { value, longestMs } = await watched(() => Promise.all([opened.store.get('there'), opened.store.length(), opened.store.all()]))
    expect(value?.[0]).toMatchObject({ is: 'there' })
    expect(longestMs).toBeLessThan(STANDSTILL_MS)
    await released
  })

  it('is answered for with the time-out of a read outside WAL mode, too', async () => {
    await using opened = await openIn('DELETE', { timeoutMs: 500 })
    await using _held = await holdLock(opened.database.url, 'exclusive')
    const { error, ms, longestMs } = await watched(() => opened.store.get('there'))
    expect(error).toMatchObject({ code: 'ERR_SESSION_DATABASE_LOCKED' })
    expect(ms).toBeLessThan(500 + LATE_MS)
    expect(longestMs).toBeLessThan(STANDSTILL_MS)
  })

  it('that goes for a moment is enough for everybody that waits, one after the other', async () => {
    await using opened = await openIn('WAL', { timeoutMs: 20_000, batch: false, maxConnections: 16 })
    const held = await holdLock(opened.database.url, 'write')
    const before = process.cpuUsage()
    const sets = Array.from({ length: 50 }, (_, number) => opened.store.set(`new ${number}`, handMade({ number })))
    const { ms } = await watched(() => pause(1000))
    const { user, system } = process.cpuUsage(before)
    await held.release()
    await Promise.all(sets)
    expect(await opened.store.length()).toBe(52)
    // The loop of `watched` takes a processor to itself; what waits must not add to it.
    expect((user + system) / 1000).toBeLessThan(ms * 1.5)
  })

  it('delays making the table without stopping this process', async () => {
    await using opened = await openStore(kind, { timeoutMs: 10_000 })
    for (const create of [() => opened.store.ready(), () => createSessionsTable(opened.knex, { tableName: 'made_late' })]) {
      const held = await holdLock(opened.database.url, 'write')
      const released = pause(1000).then(() => held.release())
      const { error, longestMs } = await watched(create)
      expect(error).toBeUndefined()
      expect(longestMs).toBeLessThan(STANDSTILL_MS)
      await released
    }
  })

  it('that prevents making the table is named when timeoutMs is over, and tried for no longer', async () => {
    await using opened = await openStore(kind, { timeoutMs: 500 })
    await using _held = await holdLock(opened.database.url, 'write')
    const { error, ms, longestMs } = await watched(() => opened.store.ready())
    expect(error).toMatchObject({ code: 'ERR_SESSION_DATABASE_LOCKED' })
    expect(ms).toBeLessThan(500 + LATE_MS)
    expect(longestMs).toBeLessThan(STANDSTILL_MS)
  })

  it('is waited for in a transaction of the application as the application has set it', async () => {
    await using opened = await openIn('WAL', { timeoutMs: 10_000 })
    await opened.knex.raw('PRAGMA busy_timeout = 100')
    await using _held = await holdLock(opened.database.url, 'write')
    const trx = await opened.knex.transaction()
    const begin = performance.now()
    const error = await opened.store
      .withTransaction(trx)
      .set('in it', handMade())
      .catch((caught) => caught)
    expect(error).toMatchObject({ code: 'ERR_SESSION_DATABASE_BUSY' })
    expect(performance.now() - begin).toBeGreaterThan(90)
    expect(performance.now() - begin).toBeLessThan(2000)
    expect((await trx.raw('PRAGMA busy_timeout'))[0].timeout).toBe(100)
    await trx.rollback()
  })

  it('that another Knex of this process holds is waited for in the same way', async () => {
    await using opened = await openIn('WAL', { timeoutMs: 10_000 })
    const other = opened.database.connect()
    const trx = await other.transaction()
    await trx.raw(`DELETE FROM ${opened.tableName} WHERE id = 'none'`)
    const begin = performance.now()
    const waiting = opened.store.set('new', handMade({ is: 'new' }))
    await pause(50)
    await trx.commit()
    await waiting
    // In the driver it would wait for its whole busy timeout, and keep the transaction from going on.
    expect(performance.now() - begin).toBeLessThan(3000)
    expect(await opened.store.get('new')).toMatchObject({ is: 'new' })
  })
})
