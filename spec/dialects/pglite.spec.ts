import { PGlite } from '@electric-sql/pglite'
import createKnex, { type Knex } from 'knex'
import PgliteClient from 'knex-pglite'
import { expect, it, vi } from 'vitest'
import { createSessionsTable, dropSessionsTable, KnexSessionStore, migrationsDirectory, registerSessionsTable } from '../../lib'
import { dumpTable } from '../schema/table-dump'
import { databaseNamed, databasesAndPglite, describeDatabases } from '../support/databases'
import { handMade } from '../support/stores'

// Each of them starts a server of its own, which takes seconds of a processor.
vi.setConfig({ testTimeout: 120_000 })

const columnsOf = (knex: Knex, table: string) => knex.raw('SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(?)', [table])

describeDatabases(
  'PostgreSQL in this process',
  () => {
    it('has the same table, whether the store, a call or the packaged migration makes it', async () => {
      await using opened = await databaseNamed('pglite').open()
      const { knex } = opened
      const dumps: string[] = []
      const ways = [
        () => new KnexSessionStore({ knex, pruneIntervalMs: false }).ready(),
        () => createSessionsTable(knex),
        () => knex.transaction((trx) => createSessionsTable(trx)),
        () => knex.migrate.latest({ directory: migrationsDirectory })
      ]
      for (const make of ways) {
        await make()
        dumps.push(await dumpTable('postgres', knex))
        await dropSessionsTable(knex)
      }
      expect(dumps[0]).toContain('USING hash')
      expect(new Set(dumps).size).toBe(1)
      await createSessionsTable(knex)
      await knex.migrate.rollback({ directory: migrationsDirectory })
      expect(await dumpTable('postgres', knex)).toBe('')
    })

    it('is another database than any other that is in memory', async () => {
      await using first = await databaseNamed('pglite').open()
      await using second = await databaseNamed('pglite').open()
      await createSessionsTable(first.knex)
      registerSessionsTable(second.knex, { columns: { ownerId: 'user_id' } })
      // A table that is believed to be there costs a transaction its life.
      await second.knex.transaction(async (trx) => {
        const store = new KnexSessionStore({ knex: second.knex, columns: { ownerId: 'user_id' }, pruneIntervalMs: false })
        await store.withTransaction(trx).set('a', handMade({ a: 1 }))
      })
      expect((await columnsOf(second.knex, 'sessions')).rows.map(({ attname }: { attname: string }) => attname)).toContain('user_id')
    })

    it('is the same database for each Knex that is given it', async () => {
      const pglite = new PGlite()
      const connection = () => ({ pglite }) as object
      const [first, second] = [createKnex({ client: PgliteClient, connection }), createKnex({ client: PgliteClient, connection })]
      try {
        expect(registerSessionsTable(first, { columns: { ownerId: 'user_id' } })).toBe(
          registerSessionsTable(second, { columns: { ownerId: 'user_id' } })
        )
      } finally {
        await pglite.close()
      }
    })
  },
  databasesAndPglite.filter(({ name }) => name === 'pglite')
)

/** No index can be made that has a condition: that is the last of the statements that make the table. */
const REFUSE_LAST_INDEX = `
  CREATE FUNCTION refuse_last_index() RETURNS event_trigger LANGUAGE plpgsql AS $$
  BEGIN IF current_query() LIKE '%IS NOT NULL' THEN RAISE EXCEPTION 'not this one'; END IF; END $$`

describeDatabases(
  'the sessions table, made of several statements',
  (database) => {
    it.each([
      ['by a call', (knex: Knex) => createSessionsTable(knex)],
      ['by the packaged migration', (knex: Knex) => knex.migrate.latest({ directory: migrationsDirectory })]
    ])('is made wholly or not at all %s', async (_title, make) => {
      await using opened = await database.open({ knex: { log: { warn: () => undefined } } })
      const { knex } = opened
      await knex.raw(REFUSE_LAST_INDEX)
      await knex.raw("CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION refuse_last_index()")
      await expect(make(knex)).rejects.toThrow()
      expect((await columnsOf(knex, 'sessions')).rows).toEqual([])
      await knex.transaction(async (trx) => {
        await expect(createSessionsTable(trx)).rejects.toThrow()
        // What else is in the transaction goes on.
        await trx.raw('CREATE TABLE things (id integer)')
      })
      expect((await columnsOf(knex, 'things')).rows).not.toEqual([])
      await knex.raw('DROP EVENT TRIGGER refuse')
      await make(knex)
      expect((await columnsOf(knex, 'sessions')).rows).not.toEqual([])
    })
  },
  databasesAndPglite.filter(({ name }) => name === 'pglite' || name === 'postgres')
)
