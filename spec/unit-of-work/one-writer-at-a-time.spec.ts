import type { Knex } from 'knex'
import { expect, it, vi } from 'vitest'
import { unitOfWork } from '../../lib/unit-of-work'
import { describeDatabase } from '../support/databases'
import { PATIENT } from '../support/patience'
import { namesIn, openNames, usedConnections } from './names'

const turnOfTheLoop = () => new Promise<void>((resolve) => setImmediate(resolve))

/** Opened in the test, and waited for in a unit. */
function gate(): { readonly open: () => void; readonly opened: Promise<void> } {
  let open: () => void = () => undefined
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { open, opened }
}

const pool = (busyMs: number): Knex.Config => ({
  pool: {
    min: 0,
    max: 10,
    afterCreate: (connection: { pragma(text: string): unknown }, done: (error: null, connection: unknown) => void) => {
      connection.pragma(`busy_timeout = ${busyMs}`)
      done(null, connection)
    }
  }
})
/** A spec that waits for it in vain fails: the driver waits in the very thread that would give the lock back. */
const LONG = pool(20_000)
const SHORT = pool(50)

describeDatabase('sqlite', 'units that write in one file at the same time', (database) => {
  it('wait for each other without stopping the process', async () => {
    await using opened = await openNames(database, { knex: LONG })
    const work = unitOfWork(opened.knex)
    const { open, opened: isOpen } = gate()
    const begun = gate()
    const first = work.run(async () => {
      await work.db('names').insert({ name: 'first' })
      begun.open()
      await isOpen
    })
    await begun.opened
    const others = ['second', 'third'].map((name) => work.run(() => work.db('names').insert({ name })))
    for (let turn = 0; turn < 50; turn++) await turnOfTheLoop()
    // Whoever waits holds no connection that the first might need.
    expect(usedConnections(opened.knex)).toBe(1)
    open()
    await Promise.all([first, ...others])
    expect(await namesIn(opened.knex)).toEqual(['first', 'second', 'third'])
  })

  it.each([
    ['writes', ['insert']],
    ['reads, then writes', ['select', 'insert']]
  ])('commit when a reader has ended, outside WAL mode, without stopping the process: a unit that %s', async (_what, statements) => {
    await using opened = await openNames(database, { knex: LONG })
    await opened.knex.raw('PRAGMA journal_mode = delete')
    const work = unitOfWork(opened.knex)
    const reader = await opened.knex.transaction()
    await reader('names').select()
    const unit = work.run(async () => {
      for (const statement of statements) {
        if (statement === 'select') await work.db('names').select()
        else await work.db('names').insert({ name: 'ada' })
      }
    })
    for (let turn = 0; turn < 50; turn++) await turnOfTheLoop()
    await reader.commit()
    await unit
    expect(await namesIn(opened.knex)).toEqual(['ada'])
  })

  it('fail to commit when a reader stays for longer than the busy timeout, and leave nothing behind', async () => {
    await using opened = await openNames(database, { knex: SHORT })
    await opened.knex.raw('PRAGMA journal_mode = delete')
    const work = unitOfWork(opened.knex)
    const reader = await opened.knex.transaction()
    await reader('names').select()
    await expect(work.run(() => work.db('names').insert({ name: 'ada' }))).rejects.toMatchObject({ code: 'SQLITE_BUSY' })
    await reader.commit()
    await vi.waitUntil(() => usedConnections(opened.knex) === 0, PATIENT)
    await work.run(() => work.db('names').insert({ name: 'ben' }))
    expect(await namesIn(opened.knex)).toEqual(['ben'])
  })

  it('wait for a writer that is no unit, too', async () => {
    await using opened = await openNames(database, { knex: LONG })
    const work = unitOfWork(opened.knex)
    const other = await opened.knex.transaction()
    await other('names').insert({ name: 'first' })
    const unit = work.run(() => work.db('names').insert({ name: 'second' }))
    for (let turn = 0; turn < 50; turn++) await turnOfTheLoop()
    await other.commit()
    await unit
    expect(await namesIn(opened.knex)).toEqual(['first', 'second'])
  })

  it('wait no longer than the busy timeout of the connection, which stays what it was', async () => {
    await using opened = await openNames(database, { knex: SHORT })
    const work = unitOfWork(opened.knex)
    const other = await opened.knex.transaction()
    await other('names').insert({ name: 'first' })
    await expect(work.run(() => work.db('names').insert({ name: 'second' }))).rejects.toMatchObject({ code: 'SQLITE_BUSY' })
    await other.commit()
    const busy = await work.run(async () => {
      await work.db('names').insert({ name: 'third' })
      return work.db.raw('PRAGMA busy_timeout')
    })
    expect(busy).toEqual([{ timeout: 50 }])
    expect(await namesIn(opened.knex)).toEqual(['first', 'third'])
    expect(usedConnections(opened.knex)).toBe(0)
  })

  it('do not wait for one that only reads', async () => {
    await using opened = await openNames(database, { knex: LONG })
    const work = unitOfWork(opened.knex)
    await work.run(async () => {
      await work.db('names').select()
      await work.job(() => work.db('names').insert({ name: 'a job' }))
      await work.outside(() => work.db('names').insert({ name: 'outside' }))
    })
    expect(await namesIn(opened.knex)).toEqual(['a job', 'outside'])
  })

  it('are told that the file is locked where a unit waits for a job that waits for it', async () => {
    await using opened = await openNames(database, { knex: SHORT })
    const work = unitOfWork(opened.knex)
    const circle = work.run(async () => {
      await work.db('names').insert({ name: 'outer' })
      await work.job(() => work.db('names').insert({ name: 'inner' }))
    })
    await expect(circle).rejects.toMatchObject({ code: 'SQLITE_BUSY' })
    expect(await namesIn(opened.knex)).toEqual([])
  })

  it('give their turn back however they end', async () => {
    await using opened = await openNames(database, { knex: LONG })
    const work = unitOfWork(opened.knex)
    await expect(work.run(() => work.db('names').insert({ name: null }))).rejects.toThrow()
    await expect(
      work.run(async (unit) => {
        await work.db('names').insert({ name: 'undone' })
        await unit.rollback()
      })
    ).resolves.toBeUndefined()
    await expect(work.run(() => work.db('no_such_table').insert({ name: 'x' }))).rejects.toThrow('no such table')
    await work.run(() => work.db('names').insert({ name: 'last' }))
    expect(await namesIn(opened.knex)).toEqual(['last'])
  })

  it('in a pool of one: the pool is their queue', async () => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex)
    const names = Array.from({ length: 20 }, (_, index) => `name ${index}`)
    await Promise.all(
      names.map((name) =>
        work.run(async () => {
          await work.db('names').insert({ name })
          await turnOfTheLoop()
        })
      )
    )
    expect(await namesIn(opened.knex)).toHaveLength(20)
  })
})
