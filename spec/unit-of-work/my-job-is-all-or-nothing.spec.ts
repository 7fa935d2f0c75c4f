import { EventEmitter, once } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, it } from 'vitest'
import { RollbackOnlyError, unitOfWork } from '../../lib/unit-of-work'
import { describeDatabases } from '../support/databases'
import { namesIn, openNames } from './names'

describeDatabases('my job is all or nothing', (database) => {
  it('it commits when it returns, and gives what it returns', async () => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex)
    expect(
      await work.job(() =>
        work
          .db('names')
          .insert({ name: 'ada' })
          .then(() => 42)
      )
    ).toBe(42)
    expect(await namesIn(opened.knex)).toEqual(['ada'])
  })

  it('it rolls back when it throws, so that its next attempt finds everything as it was', async () => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex)
    let attempts = 0
    const attempt = () =>
      work.job(async () => {
        attempts++
        await work.db('names').insert({ name: 'step 1' })
        if (attempts === 1) throw new RangeError('the mail server is down')
        await work.db('names').insert({ name: 'step 2' })
      })
    await expect(attempt()).rejects.toThrow('the mail server is down')
    await attempt()
    expect(await namesIn(opened.knex)).toEqual(['step 1', 'step 2'])
  })

  it('asked to commit always, it keeps what was done before the throw', async () => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex)
    const attempt = (fail: () => Promise<unknown>) =>
      work.job(
        async () => {
          await work.db('names').insert({ name: `attempt ${(await namesIn(work.db)).length + 1}` })
          await fail()
        },
        { commitOn: 'always' }
      )
    await expect(attempt(() => Promise.reject(new RangeError('try again')))).rejects.toThrow('try again')
    expect(await namesIn(opened.knex)).toEqual(['attempt 1'])
    // A failed statement is another thing: the database would not commit it either.
    await expect(attempt(() => Promise.resolve(work.db('no_such_table')))).rejects.toThrow(/no_such_table/)
    expect(await namesIn(opened.knex)).toEqual(['attempt 1'])
  })

  it.skipIf(database.name === 'sqlite')(
    'it is no part of the unit that put it into the queue (skipped on sqlite: only one can write at a time)',
    async () => {
      await using opened = await openNames(database)
      const work = unitOfWork(opened.knex)
      const queue = new EventEmitter()
      const jobs: Promise<unknown>[] = []
      queue.on('job', (name) => jobs.push(work.job(async () => work.db('names').insert({ name }))))
      const request = work.run(async () => {
        await work.db('names').insert({ name: 'of the request' })
        queue.emit('job', 'of the job')
        await Promise.all(jobs)
        throw new RangeError('the request fails')
      })
      await expect(request).rejects.toThrow(RangeError)
      expect(await namesIn(opened.knex)).toEqual(['of the job'])
    }
  )

  it('a script’s swallowed failure is told at its end', async () => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex)
    const script = work.run(async () => {
      await work.db('names').insert({ name: 'ada' })
      await Promise.allSettled([work.db('no_such_table')])
    })
    await expect(script).rejects.toThrow(RollbackOnlyError)
    expect(await namesIn(opened.knex)).toEqual([])
  })

  it('jobs that put jobs into the queue for ever hold nothing of each other', async () => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex)
    const go = new EventEmitter()
    const units: WeakRef<object>[] = []
    let left = 50
    let alive = 50
    const next = () =>
      work.job(async (unit) => {
        units.push(new WeakRef(unit))
        await work.db('names').select('id').limit(1)
        // Begun in this job's context, run after its end.
        if (left-- > 0) setImmediate(() => setImmediate(next))
        else {
          collectGarbage()
          alive = units.filter((reference) => reference.deref()).length
          setImmediate(() => go.emit('end'))
        }
      })
    const end = once(go, 'end')
    await next()
    await end
    expect(alive).toBeLessThan(5)
  })
})

function collectGarbage(): void {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
}
