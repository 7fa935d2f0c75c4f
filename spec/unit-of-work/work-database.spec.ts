import { expect, it } from 'vitest'
import { clientOf } from '../../lib/knex/knex-client'
import { unitOfWork } from '../../lib/unit-of-work'
import { describeDatabases } from '../support/databases'
import { namesIn, openNames, usedConnections } from './names'

describeDatabases('work.db is a Knex', (database) => {
  it('whatever a Knex offers is there, and in the unit', async () => {
    await using opened = await openNames(database)
    const { knex } = opened
    const work = unitOfWork(knex)
    const { db } = work
    expect(typeof db).toBe('function')
    expect(db.client.dialect).toBe(knex.client.dialect)
    const failing = work.run(async () => {
      await db('names').insert({ name: 'by a call' })
      await db.insert({ name: 'by insert' }).into('names')
      await db.into('names').insert({ name: 'by into' })
      await db.table('names').insert({ name: 'by table' })
      await db.queryBuilder().from('names').insert({ name: 'by a builder' })
      await db.raw("insert into names (name) values ('by raw')")
      await db.batchInsert('names', [{ name: 'by batch 1' }, { name: 'by batch 2' }], 1)
      await db.transaction((trx) => db.batchInsert('names', [{ name: 'in a transaction' }]).transacting(trx))
      await db('names')
        .where('name', 'by raw')
        .update({ name: db.raw('?', ['by ref']) })
      await knex('names')
        .transacting(work.current?.db as never)
        .insert({ name: 'by transacting' })
      const callback = await new Promise((resolve) =>
        db('names')
          .count({ n: '*' })
          .asCallback((_error: unknown, rows: unknown) => resolve(rows))
      )
      expect(Number((callback as { n: number }[])[0]?.n)).toBe(10)
      expect(await db.select(db.ref('name')).from('names').where({ name: 'by ref' })).toEqual([{ name: 'by ref' }])
      expect((await db('names').columnInfo('name')) as object).toMatchObject({ nullable: false })
      expect(await db('names').first('name').where({ name: 'by a call' })).toEqual({ name: 'by a call' })
      const rows: string[] = []
      await db('names')
        .orderBy('name')
        .stream((stream) => stream.on('data', ({ name }) => rows.push(name)))
      expect(rows).toHaveLength(10)
      throw new RangeError('all of it')
    })
    await expect(failing).rejects.toThrow(RangeError)
    expect(await namesIn(knex)).toEqual([])
    expect(usedConnections(knex)).toBe(0)
  })

  it.skipIf(database.name === 'mysql')('changes of the schema too (skipped on mysql: there they commit)', async () => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex)
    const failing = work.run(async () => {
      await work.db.schema.createTable('pets', (table) => table.increments('id'))
      // SQLite's needs a transaction of its own on the same connection.
      await work.db.schema.alterTable('names', (table) => table.string('surname').notNullable().defaultTo('-'))
      await work.db.schema.alterTable('names', (table) => table.dropColumn('name'))
      await work.db('names').insert({ surname: 'lovelace' })
      expect(await work.db.schema.hasTable('pets')).toBe(true)
      throw new RangeError('all of it')
    })
    await expect(failing).rejects.toThrow(RangeError)
    expect(await opened.knex.schema.hasTable('pets')).toBe(false)
    await opened.knex('names').insert({ name: 'ada' })
  })

  it('its listeners hear every statement, and one builder may run in many units', async () => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex)
    const heard: string[] = []
    work.db.on('query', ({ sql }: { sql: string }) => heard.push(sql))
    const count = work.db('names').count({ n: '*' }).first()
    const inside = await work.run(async () => {
      await work.db('names').insert({ name: 'ada' })
      return (await count) as { n: number }
    })
    const undone = await work.run(async (unit) => {
      await work.db('names').insert({ name: 'ben' })
      const answer = (await count) as { n: number }
      await unit.rollback()
      return answer
    })
    expect([inside, undone, (await count) as { n: number }].map(({ n }) => Number(n))).toEqual([1, 2, 1])
    expect(heard).toEqual(opened.statements)
    expect(heard.filter((sql) => /^(BEGIN|COMMIT|ROLLBACK)/.test(sql))).toHaveLength(4)
  })

  it('hooks of the application’s Knex see its rows', async () => {
    await using opened = await openNames(database, {
      knex: { postProcessResponse: (result) => (Array.isArray(result) ? result.map((row) => ({ ...row, seen: true })) : result) }
    })
    const work = unitOfWork(opened.knex)
    await work.run(() => work.db('names').insert({ name: 'ada' }))
    expect(await work.run(() => work.db('names').select('name'))).toEqual([{ name: 'ada', seen: true }])
  })

  it('the seams of Knex that it uses are where they were', async () => {
    await using opened = await openNames(database)
    const client = clientOf(opened.knex)
    for (const method of [
      'query',
      'stream',
      'runner',
      'transaction',
      'acquireConnection',
      'releaseConnection',
      'destroyRawConnection'
    ] as const) {
      expect(client[method], method).toBeTypeOf('function')
    }
    const builder = opened.knex('names')
    const runner = client.runner(builder) as unknown as Record<string, unknown>
    expect(runner).toMatchObject({ client, builder, run: expect.any(Function), stream: expect.any(Function) })
    const transaction = client.transaction(() => Promise.resolve()) as unknown as Record<string, unknown>
    for (const method of ['begin', 'savepoint', 'commit', 'release', 'rollback', 'rollbackTo', 'query'])
      expect(transaction[method], method).toBeTypeOf('function')
    expect(transaction.txid).toBeTypeOf('string')
    await transaction
  })
})
