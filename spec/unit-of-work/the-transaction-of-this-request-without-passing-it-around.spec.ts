import { EventEmitter, once } from 'node:events'
import type { Knex } from 'knex'
import { expect, it } from 'vitest'
import { KnexSessionStore } from '../../lib'
import { NoUnitError, UnitEndedError, unitOfWork } from '../../lib/unit-of-work'
import { describeDatabases } from '../support/databases'
import { namesIn, openNames } from './names'

describeDatabases('the transaction of this request, without passing it around', (database) => {
  it('every statement between the beginning and the end is kept together', async () => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex)
    const addTwo = async () => {
      await work.db('names').insert({ name: 'ada' })
      await work.db.insert({ name: 'ben' }).into('names')
    }
    await work.run(addTwo)
    expect(await namesIn(opened.knex)).toEqual(['ada', 'ben'])
    await expect(
      work.run(async () => {
        await work.db('names').where({ name: 'ada' }).del()
        await work.db.raw("update names set name = 'bob' where name = 'ben'")
        throw new RangeError('changed my mind')
      })
    ).rejects.toThrow(new RangeError('changed my mind'))
    expect(await namesIn(opened.knex)).toEqual(['ada', 'ben'])
  })

  it('a builder that is returned, and awaited by whoever called, belongs to it as well', async () => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex)
    const add = (name: string) => work.db('names').insert({ name })
    await work.run(() => add('ada'))
    await work.job(() => add('ben'))
    const failing = work.run(async () => {
      await work.db.transaction(() => add('cleo'))
      await work.run(() => add('dora'))
      throw new RangeError('roll back')
    })
    await expect(failing).rejects.toThrow(RangeError)
    expect(await namesIn(opened.knex)).toEqual(['ada', 'ben'])
    const begins = opened.statements.filter((sql) => sql.startsWith('BEGIN'))
    expect(begins).toHaveLength(3)
  })

  it('without a statement there is no transaction', async () => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex)
    await work.run(() => work.run(() => undefined))
    work.db('names').insert({ name: 'never awaited' })
    expect(opened.statements).toEqual([])
  })

  it.skipIf(database.name === 'sqlite')(
    'work that interleaves does not see each other (skipped on sqlite: only one can write at a time)',
    async () => {
      await using opened = await openNames(database)
      const work = unitOfWork(opened.knex)
      const units = 8
      const [inserted, read] = [meetingOf(units), meetingOf(units)]
      const seen = await Promise.all(
        Array.from({ length: units }, (_, index) =>
          work.run(async () => {
            await work.db('names').insert({ name: `name ${index}` })
            await inserted()
            const names = await namesIn(work.db)
            await read()
            return names
          })
        )
      )
      expect(seen).toEqual(Array.from({ length: units }, (_, index) => [`name ${index}`]))
      expect(await namesIn(opened.knex)).toHaveLength(units)
    }
  )

  it('a timer, a stream and an emitter that it started belong to it', async () => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex)
    const emitter = new EventEmitter()
    await expect(
      work.run(async () => {
        const later = (name: string) => work.db('names').insert({ name })
        await new Promise<void>((resolve, reject) => setTimeout(() => later('timer').then(() => resolve(), reject), 1))
        emitter.once('go', (done) => later('emitter').then(done))
        await new Promise((resolve) => emitter.emit('go', resolve))
        const rows = work.db('names').stream()
        const inserted: Promise<unknown>[] = []
        rows.on('data', ({ name }: { name: string }) => inserted.push(Promise.resolve(later(`after ${name}`))))
        await once(rows, 'close')
        await Promise.all(inserted)
        expect(await namesIn(work.db)).toEqual(['after emitter', 'after timer', 'emitter', 'timer'])
        throw new RangeError('all of it')
      })
    ).rejects.toThrow(RangeError)
    expect(await namesIn(opened.knex)).toEqual([])
  })

  it('what comes after its end is told so, and changes nothing', async () => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex)
    let late: Promise<unknown> = Promise.resolve()
    const go = new EventEmitter()
    await work.run(async (unit) => {
      await work.db('names').insert({ name: 'in time' })
      const tooLate = once(go, 'go').then(() =>
        Promise.allSettled([work.db('names').insert({ name: 'late' }), unit.db('names').del(), work.db.transaction(async () => 1)])
      )
      late = tooLate
    })
    go.emit('go')
    const outcomes = (await late) as PromiseSettledResult<unknown>[]
    expect(outcomes.map((outcome) => outcome.status === 'rejected' && outcome.reason)).toEqual(Array(3).fill(expect.any(UnitEndedError)))
    expect(String((outcomes[0] as PromiseRejectedResult).reason)).toContain('this unit of work has ended: it was committed')
    expect(await namesIn(opened.knex)).toEqual(['in time'])
  })

  it('a store on its Knex is told so too, after its end', async () => {
    await using opened = await openNames(database)
    await using store = new KnexSessionStore({ knex: opened.knex, pruneIntervalMs: false })
    await store.ready()
    let inside: KnexSessionStore | undefined
    await unitOfWork(opened.knex).run(async (unit) => {
      inside = store.withTransaction(unit.db as Knex.Transaction)
      expect(await inside.length()).toBe(0)
    })
    await expect(inside?.length()).rejects.toThrow(UnitEndedError)
  })

  it('an emitter shared by two of them is bound by hand', async () => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex)
    const shared = new EventEmitter()
    let done: Promise<unknown> = Promise.resolve()
    await expect(
      work.run(async () => {
        await work.db('names').insert({ name: 'first' })
        const listener = (name: string) => {
          done = Promise.resolve(work.db('names').insert({ name }))
        }
        shared.once('name', work.bind(listener))
        // Another unit makes the event happen, with its own context.
        await work.job(() => void shared.emit('name', 'of the first'))
        await done
        expect(await namesIn(work.db)).toEqual(['first', 'of the first'])
        throw new RangeError('roll back')
      })
    ).rejects.toThrow(RangeError)
    expect(await namesIn(opened.knex)).toEqual([])
  })

  it('by hand, the unit given to the function does the same, also where the context is lost', async () => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex)
    await work.run(async (unit) => {
      await unit.db('names').insert({ name: 'ada' })
      await work.outside(() => unit.db('names').insert({ name: 'ben' }))
      expect(unit.state).toBe('open')
      await unit.rollback()
      await unit.rollback()
      expect(unit.state).toBe('rolled back')
    })
    expect(await namesIn(opened.knex)).toEqual([])
  })

  it('outside of it, work.db is the pool, or an error where that was asked for', async () => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex)
    await work.db('names').insert({ name: 'ada' })
    const strict = unitOfWork(opened.knex, { outsideUnit: 'throw' })
    await expect(strict.db('names')).rejects.toThrow(NoUnitError)
    await strict.outside(async () => strict.db('names').insert({ name: 'ben' }))
    expect(await namesIn(opened.knex)).toEqual(['ada', 'ben'])
  })
})

/** Nobody leaves before all have come. */
function meetingOf(members: number): () => Promise<void> {
  let open: () => void = () => undefined
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  let missing = members
  return () => {
    missing--
    if (missing === 0) open()
    return opened
  }
}
