import { expect, it } from 'vitest'
import { NestedStillOpenError, RollbackOnlyError, UndoneByNestedError, UnitEndedError, unitOfWork } from '../../lib/unit-of-work'
import { describeDatabases } from '../support/databases'
import { namesIn, openNames, usedConnections } from './names'

const boom = () => Promise.reject(new RangeError('boom'))

describeDatabases('a part that fails undoes only itself', (database) => {
  it('nested by work.run, by work.db.transaction, and as deep as you like', async () => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex)
    const add = (name: string) => work.db('names').insert({ name })
    await work.run(async () => {
      await add('first')
      await expect(
        work.run(async () => {
          await add('undone 1')
          await boom()
        })
      ).rejects.toThrow(RangeError)
      await work.db.transaction(async (trx) => {
        await trx('names').insert({ name: 'by trx' })
        // Code that knows nothing of trx is in it all the same.
        await add('second')
        await expect(
          work.run(async () => {
            await add('undone 2')
            await work.db.transaction(() => add('undone 3'))
            await boom()
          })
        ).rejects.toThrow(RangeError)
      })
      await add('third')
    })
    expect(await namesIn(opened.knex)).toEqual(['by trx', 'first', 'second', 'third'])
  })

  it('a failed statement in it does not reach what surrounds it', async () => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex)
    await work.run(async () => {
      await work.db('names').insert({ name: 'ada' })
      const again = work.db.transaction(() => work.db('names').insert({ name: 'ada' }))
      await expect(again).rejects.toThrow(/unique|duplicate/i)
      await work.db('names').insert({ name: 'ben' })
    })
    expect(await namesIn(opened.knex)).toEqual(['ada', 'ben'])
  })

  it('a failed statement that it swallows makes it fail all the same, and no more than it', async () => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex)
    await work.run(async () => {
      await work.db('names').insert({ name: 'ada' })
      const swallowing = work.db.transaction(async (trx) => {
        await trx('names').insert({ name: 'ben' })
        await Promise.allSettled([trx('names').insert({ name: 'ada' })])
        await expect(trx('names').select()).rejects.toThrow(RollbackOnlyError)
        return 'all is well'
      })
      await expect(swallowing).rejects.toThrow(RollbackOnlyError)
      await work.db('names').insert({ name: 'cleo' })
    })
    expect(await namesIn(opened.knex)).toEqual(['ada', 'cleo'])
  })

  it.each(['work.run', 'work.db.transaction'])('two of them at once take turns, by %s', async (how) => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex)
    const part = (does: () => Promise<void>) => (how === 'work.run' ? work.run(does) : work.db.transaction(does))
    await work.run(async () => {
      const outcomes = await Promise.allSettled(
        ['a', 'b', 'c', 'd', 'e', 'f'].map((letter, index) =>
          part(async () => {
            await work.db('names').insert({ name: `${letter} 1` })
            await new Promise((resolve) => setTimeout(resolve, 6 - index))
            await work.db('names').insert({ name: `${letter} 2` })
            if (index % 2 === 1) await boom()
          })
        )
      )
      expect(outcomes.map(({ status }) => status[0])).toEqual(['f', 'r', 'f', 'r', 'f', 'r'])
    })
    expect(await namesIn(opened.knex)).toEqual(['a 1', 'a 2', 'c 1', 'c 2', 'e 1', 'e 2'])
  })

  it('a statement beside it that is undone by the way is not lost in silence', async () => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex)
    const beside = work.run(async () => {
      await work.db('names').insert({ name: 'before' })
      let inserted: () => void = () => undefined
      const part = work.run(async () => {
        await work.db('names').insert({ name: 'inside' })
        await new Promise<void>((resolve) => {
          inserted = resolve
        })
        await boom()
      })
      const failed = expect(part).rejects.toThrow(RangeError)
      while ((await work.db('names').pluck('name')).length < 2);
      await work.db('names').insert({ name: 'beside' })
      inserted()
      await failed
    })
    await expect(beside).rejects.toMatchObject({ code: 'ERR_SESSION_ROLLBACK_ONLY', cause: expect.any(UndoneByNestedError) })
    expect(await namesIn(opened.knex)).toEqual([])
  })

  it('a transaction as a handle has to be ended before its unit', async () => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex)
    await work.run(async () => {
      const trx = await work.db.transaction()
      await trx('names').insert({ name: 'kept' })
      await trx.commit()
      const other = await work.db.transaction()
      await other('names').insert({ name: 'undone' })
      await other.rollback()
    })
    expect(await namesIn(opened.knex)).toEqual(['kept'])
    const forgotten = work.run(async () => {
      const trx = await work.db.transaction()
      await trx('names').insert({ name: 'forgotten' })
    })
    await expect(forgotten).rejects.toThrow(NestedStillOpenError)
    expect(await namesIn(opened.knex)).toEqual(['kept'])
    expect(usedConnections(opened.knex)).toBe(0)
  })

  it('a part that nobody awaits is waited for', async () => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex)
    await work.run(async () => {
      void work.db.transaction(async (trx) => {
        await trx('names').insert({ name: 'one' })
        await trx('names').insert({ name: 'two' })
      })
    })
    expect(await namesIn(opened.knex)).toEqual(['one', 'two'])
  })

  it('after its end the part says so', async () => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex)
    await work.run(async () => {
      let late: () => Promise<unknown> = async () => undefined
      await work.run(async () => {
        await work.db('names').insert({ name: 'in time' })
        late = work.bind(async () => work.db('names').insert({ name: 'late' }))
      })
      await expect(late()).rejects.toThrow(UnitEndedError)
    })
    expect(await namesIn(opened.knex)).toEqual(['in time'])
  })
})
