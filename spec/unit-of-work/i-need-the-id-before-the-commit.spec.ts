import { expect, it } from 'vitest'
import { unitOfWork } from '../../lib/unit-of-work'
import { describeDatabases } from '../support/databases'
import { openNames } from './names'

describeDatabases('I need the id before the commit', (database) => {
  it('the insert gives it, and after a later throw its row is gone', async () => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex)
    await opened.knex.schema.createTable('pets', (table) => {
      table.integer('name_id').notNullable()
      table.string('pet', 50)
    })
    const insertName = async (name: string): Promise<number> => {
      const [row] = await work.db('names').insert({ name }).returning('id')
      // MySQL has no RETURNING, and gives the number itself.
      return typeof row === 'number' ? row : row.id
    }
    const id = await work.run(async () => {
      const nameId = await insertName('ada')
      await work.db('pets').insert({ name_id: nameId, pet: 'cat' })
      return nameId
    })
    expect(await opened.knex('pets')).toEqual([{ name_id: id, pet: 'cat' }])

    let lost: number | undefined
    const failing = work.run(async () => {
      lost = await insertName('ben')
      await work.db('pets').insert({ name_id: lost, pet: 'dog' })
      throw new RangeError('after all')
    })
    await expect(failing).rejects.toThrow(RangeError)
    expect(lost).toBeGreaterThan(id)
    expect(await opened.knex('names').where({ id: lost ?? 0 })).toEqual([])
    expect(await opened.knex('pets')).toHaveLength(1)
  })
})
