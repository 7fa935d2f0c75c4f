import type { Knex } from 'knex'
import { expect, it } from 'vitest'
import { createSessionsTable, KnexSessionStore, TableMissingError } from '../../lib'
import { databaseNamed, describeDatabases, type OpenDatabase } from '../support/databases'
import { handMade, openStore, StatementLog } from '../support/stores'
import { limitedUser } from './limited-user'
import { dumpTable } from './table-dump'

const storeOn = (knex: Knex) => new KnexSessionStore({ knex, pruneIntervalMs: false })
const roll = async (knex: Knex, work: (trx: Knex.Transaction) => Promise<unknown>) => {
  const trx = await knex.transaction()
  try {
    await work(trx)
  } finally {
    await trx.rollback()
  }
}

describeDatabases('a store on a transaction', (database) => {
  const createsThere = database.name !== 'mysql'

  it('makes the table there, and when it is rolled back nobody else believes in it', async () => {
    await using opened = await openStore(database)
    const { knex, store } = opened
    if (!createsThere) {
      // Making it would commit the transaction.
      await roll(knex, (trx) => expect(storeOn(trx).set('a', handMade())).rejects.toThrow(TableMissingError))
      return
    }
    for (let round = 0; round < 3; round++) {
      await roll(knex, async (trx) => {
        const inside = storeOn(trx)
        await inside.set('a', handMade({ user: 'ada' }))
        expect(await storeOn(trx).get('a')).toMatchObject({ user: 'ada' })
      })
      expect(await dumpTable(database.name, knex)).toBe('')
    }
    expect(await store.get('a')).toBeNull()
    await store.set('b', handMade())
    expect(await store.length()).toBe(1)
  })

  it('that is committed has made the table for everybody', async () => {
    await using opened = await openStore(database)
    const { knex, store } = opened
    if (!createsThere) await createSessionsTable(knex)
    await knex.transaction((trx) => storeOn(trx).set('a', handMade({ user: 'ada' })))
    expect(await store.get('a')).toMatchObject({ user: 'ada' })
  })

  it('sends no statement about the table where its database is known to have it', async () => {
    await using opened = await openStore(database)
    const { knex, store } = opened
    await store.ready()
    const log = new StatementLog(knex)
    for (let round = 0; round < 3; round++) await roll(knex, (trx) => storeOn(trx).get('a'))
    expect(log.statements.filter((sql) => !/^(begin|rollback|select .* from .sessions. where)/i.test(sql))).toEqual([])
  })

  it('looks again, and works, in the transaction after the one that found the table dropped', async () => {
    await using opened = await openStore(database)
    const { knex, store } = opened
    await store.ready()
    await knex.schema.dropTable('sessions')
    await roll(knex, (trx) =>
      storeOn(trx)
        .get('a')
        .catch((error) => expect(error).toBeInstanceOf(TableMissingError))
    )
    if (createsThere) await roll(knex, (trx) => storeOn(trx).set('a', handMade()))
    await store.set('a', handMade())
    await roll(knex, async (trx) => expect(await storeOn(trx).get('a')).not.toBeNull())
  })

  it('leaves the transaction whole when the table cannot be made', async () => {
    await using opened = await database.open()
    if (database.name === 'sqlite') return
    await using user = await limitedUser(opened)
    await roll(user.knex, async (trx) => {
      await expect(storeOn(trx).get('a')).rejects.toThrow(TableMissingError)
      await trx.raw('SELECT 1')
    })
  })
})

describeDatabases('createSessionsTable in a transaction', (database) => {
  const openWithNotes = async (): Promise<OpenDatabase> => {
    const opened = await database.open()
    await opened.knex.schema.createTable('notes', (table) => table.integer('id'))
    return opened
  }

  it('does not commit it', async () => {
    await using opened = await openWithNotes()
    await roll(opened.knex, async (trx) => {
      await trx('notes').insert({ id: 1 })
      await createSessionsTable(trx)
      await createSessionsTable(trx)
    })
    expect(await opened.knex('notes')).toEqual([])
  })

  it('is taken back with it, where a database can', async () => {
    await using opened = await openWithNotes()
    await roll(opened.knex, (trx) => createSessionsTable(trx))
    expect((await dumpTable(database.name, opened.knex)) === '').toBe(database.name !== 'mysql')
    await storeOn(opened.knex).set('a', handMade())
  })
})

it('a store on a transaction in memory sends no statement about the table where it is known', async () => {
  await using opened = await openStore(databaseNamed('sqlite'), {}, { storage: 'memory' })
  const { knex, store } = opened
  await store.ready()
  const log = new StatementLog(knex)
  for (let round = 0; round < 3; round++) await roll(knex, (trx) => storeOn(trx).get('a'))
  expect(log.statements.filter((sql) => /pragma|create table/i.test(sql))).toEqual([])
})
