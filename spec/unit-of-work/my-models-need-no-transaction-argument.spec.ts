import { Model, type QueryContext, ref } from 'objection'
import { expect, it } from 'vitest'
import { unitOfWork } from '../../lib/unit-of-work'
import { describeDatabases } from '../support/databases'
import { openNames, usedConnections } from './names'
import { withSite } from './site'

class Pet extends Model {
  id!: number
  pet!: string
  name_id!: number
  static override tableName = 'pets'
}

class Name extends Model {
  id!: number
  name!: string
  pets?: Pet[]
  static override tableName = 'names'
  static override relationMappings = {
    pets: { relation: Model.HasManyRelation, modelClass: Pet, join: { from: 'names.id', to: 'pets.name_id' } }
  }

  override async $beforeUpdate(_options: unknown, { transaction }: QueryContext): Promise<void> {
    // A hook's own statement, by the transaction that Objection gives it.
    await Pet.query(transaction).insert({ pet: `${this.name}’s new one`, name_id: 0 })
  }
}

describeDatabases('my models need no transaction argument', (database) => {
  const openModels = async () => {
    const opened = await openNames(database)
    await opened.knex.schema.createTable('pets', (table) => {
      table.increments('id')
      table.string('pet', 50)
      table.integer('name_id')
    })
    const work = unitOfWork(opened.knex)
    Model.knex(work.db)
    return Object.assign(opened, { work })
  }

  it('save, update and delete are part of the unit', async () => {
    await using opened = await openModels()
    const { work, knex } = opened
    await work.run(async () => {
      const ada = await Name.query().insert({ name: 'ada' })
      await ada.$relatedQuery<Pet>('pets').insert({ pet: 'cat' })
      await ada.$query().patch({ name: 'ada l.' })
      const ben = await Name.query().insertAndFetch({ name: 'ben' })
      await ben.$query().delete()
    })
    expect(await knex('names').pluck('name')).toEqual(['ada l.'])
    expect(await knex('pets').orderBy('pet').pluck('pet')).toEqual(['ada l.’s new one', 'cat'])
    const failing = work.run(async () => {
      const ada = await Name.query().findOne({ name: 'ada l.' }).throwIfNotFound()
      await ada.$query().patch({ name: 'gone' })
      await Pet.query().delete()
      expect(await Name.query().withGraphFetched('pets')).toMatchObject([{ name: 'gone', pets: [] }])
      throw new RangeError('roll back')
    })
    await expect(failing).rejects.toThrow(RangeError)
    expect(await Name.query().withGraphFetched('pets')).toMatchObject([{ name: 'ada l.', pets: [{ pet: 'cat' }] }])
    expect(usedConnections(knex)).toBe(0)
  })

  it('its own transactions are parts of the unit', async () => {
    await using opened = await openModels()
    const { work, knex } = opened
    await work.run(async () => {
      await Name.query().insert({ name: 'ada' })
      await expect(
        Name.transaction(async (trx) => {
          await Name.query(trx).insert({ name: 'ben' })
          await Name.query().insertGraph({ name: 'cleo', pets: [{ pet: 'dog' }] })
          throw new RangeError('this part only')
        })
      ).rejects.toThrow(RangeError)
      const trx = await Name.startTransaction()
      await Name.query(trx).insert({ name: 'dora' })
      await trx.commit()
    })
    expect(await knex('names').orderBy('name').pluck('name')).toEqual(['ada', 'dora'])
    expect(await knex('pets')).toEqual([])
  })

  it('in a request, and by hand with req.work.db, each in its own', () =>
    withSite({ database }, async ({ work, knex, on, visit }) => {
      Model.knex(work.db)
      on('/:name/:status', async (req, res) => {
        await Name.query().insert({ name: String(req.params.name) })
        await Name.query(req.work.db).insert({ name: `${req.params.name} by hand` })
        const count = await Name.query().where(ref('name'), 'like', `${req.params.name}%`).resultSize()
        res.status(Number(req.params.status)).json({ count })
      })
      const answers = await Promise.all(['ada/200', 'ben/400', 'cleo/200', 'dora/500'].map((path) => visit(`/${path}`)))
      expect(answers.map(({ text }) => text)).toEqual(Array(4).fill('{"count":2}'))
      expect(await knex('names').orderBy('name').pluck('name')).toEqual(['ada', 'ada by hand', 'cleo', 'cleo by hand'])
    }))
})
