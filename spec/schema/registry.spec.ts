import { join, relative } from 'node:path'
import type { Knex } from 'knex'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { createSessionsTable, KnexSessionStore, registerSessionsTable, SchemaConflictError } from '../../lib'
import { twoCopies } from '../support/copies'
import { databaseNamed, databases, describeDatabases } from '../support/databases'
import { runProcess } from '../support/processes'
import { handMade, StatementLog } from '../support/stores'
import type { Input, Output } from './registry.worker.mts'

const WORKER = join(__dirname, 'registry.worker.mts')

const storeOn = (knex: Knex, options = {}) => new KnexSessionStore({ knex, pruneIntervalMs: false, ...options })

function conflictOf(register: () => unknown): SchemaConflictError {
  try {
    register()
  } catch (error) {
    expect(error).toBeInstanceOf(SchemaConflictError)
    return error as SchemaConflictError
  }
  throw new Error('there was no conflict')
}

afterEach(() => {
  vi.resetModules()
})

describeDatabases('registering a sessions table', (database) => {
  it('again and again, in between with another, answers the first', async () => {
    await using opened = await database.open()
    const { knex } = opened
    const a = registerSessionsTable(knex, { tableName: 'a' })
    const b = registerSessionsTable(knex, { tableName: 'b' })
    expect(a).toEqual(expect.objectContaining({ tableName: 'a', version: 1 }))
    expect(a).not.toBe(b)
    for (let round = 0; round < 5; round++) {
      expect(registerSessionsTable(knex, { tableName: 'a', version: 1 })).toBe(a)
      expect(registerSessionsTable(knex, { columns: {}, tableName: 'a' })).toBe(a)
      expect(registerSessionsTable(knex, { tableName: 'b' })).toBe(b)
    }
    expect(Object.isFrozen(a) && Object.isFrozen(a.columns)).toBe(true)
  })

  it('sends nothing', async () => {
    await using opened = await database.open()
    const log = new StatementLog(opened.knex)
    registerSessionsTable(opened.knex)
    await new Promise(setImmediate)
    expect(log.statements).toEqual([])
  })

  it('from another Knex instance on the same database answers the first', async () => {
    await using opened = await database.open()
    expect(registerSessionsTable(opened.connect())).toBe(registerSessionsTable(opened.knex))
  })

  it('from a copy of this module after a module reset answers the first, and the table is not looked for again', async () => {
    await using opened = await database.open()
    const first = registerSessionsTable(opened.knex)
    await storeOn(opened.knex).set('a', handMade())
    const log = new StatementLog(opened.knex)
    for (let round = 0; round < 3; round++) {
      vi.resetModules()
      const copy = await import('../../lib/index.ts')
      expect(copy.KnexSessionStore).not.toBe(KnexSessionStore)
      expect(copy.registerSessionsTable(opened.knex)).toBe(first)
      expect(await new copy.KnexSessionStore({ knex: opened.knex, pruneIntervalMs: false }).get('a')).not.toBeNull()
    }
    // Each copy asks for itself what the connections commit.
    expect(log.statements.filter((sql) => !sql.includes('@@autocommit'))).toHaveLength(3)
  })

  it('with other columns is an error that names each field', async () => {
    await using opened = await database.open()
    const { knex } = opened
    registerSessionsTable(knex, { columns: { id: 'sid' } })
    const given = { columns: { data: 'sess', ownerId: 'user_id' } }
    for (const register of [() => registerSessionsTable(knex, given), () => storeOn(knex, given), () => storeOn(opened.connect(), given)]) {
      const error = conflictOf(register)
      expect(error.code).toBe('ERR_SESSION_SCHEMA_CONFLICT')
      expect(error.differences).toEqual([
        { field: 'columns.id', registered: 'sid', given: 'id' },
        { field: 'columns.data', registered: 'data', given: 'sess' },
        { field: 'columns.ownerId', registered: 'owner_id', given: 'user_id' }
      ])
      expect(error.message).toBe(
        'the sessions table "sessions" is already registered in this process with another definition: columns.id was "sid" and is now "id"; columns.data was "data" and is now "sess"; columns.ownerId was "owner_id" and is now "user_id". Give every store of this table the same columns.id, columns.data, columns.ownerId, or another tableName'
      )
    }
    await expect(createSessionsTable(knex, given)).rejects.toThrow(SchemaConflictError)
    await storeOn(knex, { columns: { id: 'sid' } }).set('a', handMade())
  })

  it('of one name on two databases is two tables, and may differ', async () => {
    await using one = await database.open()
    await using other = await database.open()
    await storeOn(one.knex, { columns: { id: 'sid' } }).set('a', handMade())
    await storeOn(other.knex, { columns: { id: 'key' } }).set('b', handMade())
    expect(await one.knex('sessions').select('sid')).toHaveLength(1)
    expect(await other.knex('sessions').select('key')).toHaveLength(1)
  })

  it('leaves to each store the options that do not shape the table', async () => {
    await using opened = await database.open()
    const { knex } = opened
    const stores = [{ prefix: 'a:' }, { prefix: 'b:', ttlSeconds: 60 }, { storedId: 'plain' }, { timeoutMs: 60_000 }].map((options) =>
      storeOn(knex, options)
    )
    await Promise.all(stores.map((store) => store.set('a', handMade())))
    expect(await stores[0]?.length()).toBe(1)
    expect(await stores[1]?.length()).toBe(1)
  })

  it('in a transaction is the transaction’s own', async () => {
    await using opened = await database.open()
    const outside = registerSessionsTable(opened.knex)
    const trx = await opened.knex.transaction()
    expect(registerSessionsTable(trx)).not.toBe(outside)
    expect(registerSessionsTable(trx)).toBe(registerSessionsTable(trx))
    await trx.rollback()
  })

  it('is one thing for two copies of the package, each by require and by import', async () => {
    await using opened = await database.open()
    await using copies = await twoCopies()
    const { output, error } = await runProcess<Input, Output>(WORKER, { config: opened.config, copies: copies.folders })
    expect(error).toBeUndefined()
    expect(output).toEqual({
      copies: 2,
      definitions: 1,
      creations: 1,
      looks: 1,
      conflict: { code: 'ERR_SESSION_SCHEMA_CONFLICT', fields: ['columns.id', 'columns.data'] }
    })
  })
})

describeDatabases(
  'one name in two schemas',
  (database) => {
    it('is two tables, and may differ', async () => {
      await using opened = await database.open()
      const { knex } = opened
      await knex.raw('CREATE SCHEMA one')
      await knex.raw('CREATE SCHEMA other')
      await storeOn(knex, { schemaName: 'one', columns: { id: 'sid' } }).set('a', handMade())
      await storeOn(knex, { schemaName: 'other' }).set('a', handMade())
      await storeOn(knex, { schemaName: 'other' }).set('b', handMade())
      await storeOn(knex).set('a', handMade())
      expect(await knex.withSchema('one').from('sessions').select('sid')).toHaveLength(1)
      expect(await knex.withSchema('other').from('sessions').select('id')).toHaveLength(2)
    })

    it('by the search path of two Knex instances is two tables', async () => {
      await using opened = await database.open()
      await opened.knex.raw('CREATE SCHEMA one')
      await opened.knex.raw('CREATE SCHEMA other')
      const one = opened.connect({ searchPath: ['one'] })
      const other = opened.connect({ searchPath: ['other'] })
      expect(registerSessionsTable(one)).not.toBe(registerSessionsTable(other))
      await storeOn(one).set('a', handMade())
      expect(await storeOn(other).length()).toBe(0)
    })
  },
  databases.filter(({ name }) => name === 'postgres' || name === 'cockroach')
)

describe('what the registry takes for the same database', () => {
  it('is one SQLite file by whatever path', async () => {
    await using opened = await databaseNamed('sqlite').open()
    const detour = opened.connect({ connection: { filename: relative(process.cwd(), opened.url) } })
    expect(registerSessionsTable(detour)).toBe(registerSessionsTable(opened.knex))
  })

  it('is not another database in memory', async () => {
    await using one = await databaseNamed('sqlite').open({ storage: 'memory' })
    await using other = await databaseNamed('sqlite').open({ storage: 'memory' })
    await storeOn(one.knex, { columns: { id: 'sid' } }).set('a', handMade())
    expect(await storeOn(other.knex).length()).toBe(0)
    expect(registerSessionsTable(one.knex, { columns: { id: 'sid' } })).not.toBe(registerSessionsTable(other.knex))
  })
})
