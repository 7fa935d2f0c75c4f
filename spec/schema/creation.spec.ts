import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import {
  createSessionsTable,
  DatabaseUnreachableError,
  dropSessionsTable,
  ForeignTableError,
  KnexSessionStore,
  ReadOnlyDatabaseError,
  TableMissingError
} from '../../lib'
import { type Database, databases, describeDatabase, describeDatabases } from '../support/databases'
import { handMade, openStore, StatementLog } from '../support/stores'
import { ForwardedPort } from './forwarded-port'
import { limitedUser } from './limited-user'
import { dumpTable } from './table-dump'

const CREATES = /create table/i
/** On PostgreSQL and on MariaDB. */
const LOOKS = /to_regclass|LIMIT 0/
/** Knex prints what the specs cause on purpose. */
const SILENT = { error: () => undefined, warn: () => undefined }
const servers = databases.filter(({ name }) => name !== 'sqlite')

function creations(log: StatementLog): number {
  return log.statements.filter((sql) => CREATES.test(sql)).length
}

describeDatabases('the sessions table', (database) => {
  it('is not touched by a constructor', async () => {
    await using opened = await openStore(database)
    const log = new StatementLog(opened.knex)
    for (let built = 0; built < 50; built++) opened.another()
    await sleep(20)
    expect(log.statements).toEqual([])
    expect(await dumpTable(database.name, opened.knex)).toBe('')
  })

  it('is looked for once and made once by 400 applications on one Knex, none of them awaited', async () => {
    await using opened = await openStore(database)
    const log = new StatementLog(opened.knex)
    const calls = Array.from({ length: 400 }, async (_, visitor) => {
      const store = opened.another({ timeoutMs: 30_000 })
      await store.set(`visitor ${visitor}`, handMade({ visitor }))
      return store.get(`visitor ${visitor}`)
    })
    expect(await Promise.all(calls)).toEqual(calls.map((_, visitor) => expect.objectContaining({ visitor })))
    expect(creations(log)).toBe(1)
    // The look, and the creation. MariaDB is asked once what its connections commit.
    const perSession = /insert into|update |select .* (where |on s\.)("id"|`id`) (=|in)|^begin|^commit|^create index|^select @@autocommit/i
    expect(log.statements.filter((sql) => CREATES.test(sql) || !perSession.test(sql))).toHaveLength(2)
  })

  it('is made once by applications on 20 Knex instances', async () => {
    await using opened = await openStore(database, {}, { knex: { pool: { min: 0, max: 1 } } })
    const instances = Array.from({ length: 20 }, () => opened.database.connect())
    const logs = instances.map((knex) => new StatementLog(knex))
    await Promise.all(instances.map((knex, visitor) => opened.another({ knex }).set(`visitor ${visitor}`, handMade())))
    expect(logs.reduce((sum, log) => sum + creations(log), 0)).toBe(1)
    expect(await opened.store.length()).toBe(20)
  })

  it('is made by ready(), and found by it', async () => {
    await using opened = await openStore(database)
    const log = new StatementLog(opened.knex)
    await opened.store.ready()
    expect(creations(log)).toBe(1)
    const { count } = log
    await opened.store.ready()
    await opened.another().ready()
    expect(log.count).toBe(count)
  })

  it('is made again when it was dropped, once, and the calls that found it missing succeed', async () => {
    await using opened = await openStore(database)
    const { store, knex } = opened
    await store.set('before', handMade())
    await knex.schema.dropTable('sessions')
    const log = new StatementLog(knex)
    const calls = Array.from({ length: 40 }, (_, visitor) => store.set(`visitor ${visitor}`, handMade()))
    expect(await store.get('before')).toBeNull()
    await Promise.all(calls)
    expect(creations(log)).toBe(1)
    expect(await store.length()).toBe(40)
  })

  it('is made again whichever call finds it dropped', async () => {
    await using opened = await openStore(database)
    const { store, knex } = opened
    const calls: Record<string, () => Promise<unknown>> = {
      get: () => store.get('a'),
      set: () => store.set('a', handMade()),
      touch: () => store.touch('a', handMade()),
      destroy: () => store.destroy('a'),
      all: () => store.all(),
      ids: () => store.ids(),
      length: () => store.length(),
      clear: () => store.clear(),
      prune: () => store.prune()
    }
    await store.ready()
    for (const [name, call] of Object.entries(calls)) {
      await knex.schema.dropTable('sessions')
      await expect(call(), name).resolves.toSatisfy(() => true)
      expect(await dumpTable(database.name, knex), name).not.toBe('')
    }
  })

  it('is made where another was put aside by renaming it', async () => {
    await using opened = await openStore(database)
    const { store, knex } = opened
    await store.set('before', handMade())
    await knex.schema.renameTable('sessions', 'sessions_put_aside')
    await store.set('after', handMade())
    await knex.schema.renameTable('sessions', 'sessions_put_aside_too')
    await store.set('later', handMade())
    expect(await store.length()).toBe(1)
    for (const table of ['sessions_put_aside', 'sessions_put_aside_too']) {
      expect(await knex(table).select('revision')).toHaveLength(1)
    }
  })

  it('is the same after the pool was destroyed and initialised again', async () => {
    await using opened = await openStore(database)
    const { store, knex } = opened
    await store.set('before', handMade({ user: 'ada' }))
    await store.ready()
    await knex.destroy()
    const refused = { code: 'ERR_SESSION_DATABASE_UNREACHABLE', message: expect.stringContaining('the Knex was destroyed') }
    await expect(store.get('before')).rejects.toMatchObject(refused)
    await expect(store.ready()).rejects.toMatchObject(refused)
    await expect(opened.another().ready()).rejects.toMatchObject(refused)
    knex.initialize()
    await store.ready()
    expect(await store.get('before')).toMatchObject({ user: 'ada' })
    expect(await opened.another().get('before')).toMatchObject({ user: 'ada' })
  })

  it('of other columns is an error that names them, and nothing is done to it', async () => {
    await using opened = await openStore(database)
    const { store, knex } = opened
    await knex.schema.createTable('sessions', (table) => {
      table.string('sid').primary()
      table.text('data')
      table.bigInteger('expires_at')
    })
    const dump = await dumpTable(database.name, knex)
    const error = await store.get('a').catch((reason) => reason)
    expect(error).toBeInstanceOf(ForeignTableError)
    expect(error).toMatchObject({
      code: 'ERR_SESSION_FOREIGN_TABLE',
      missingColumns: ['id', 'expires_hour', 'revision', 'owner_id', 'created_at', 'last_seen_at'],
      message: expect.stringContaining(
        'it lacks the columns id, expires_hour, revision, owner_id, created_at, last_seen_at (it has sid, data, expires_at)'
      )
    })
    await expect(createSessionsTable(knex)).rejects.toBeInstanceOf(ForeignTableError)
    expect(await dumpTable(database.name, knex)).toBe(dump)

    await knex.schema.dropTable('sessions')
    await store.set('a', handMade())
    expect(await store.length()).toBe(1)
  })

  it('is missing: the error prints the call that makes it, with the options of the store', async () => {
    await using opened = await database.open()
    const { knex } = opened
    const store = new KnexSessionStore({
      knex,
      createTable: false,
      pruneIntervalMs: false,
      tableName: "web's",
      columns: { id: 'sid', data: 'data', ownerId: 'user_id' }
    })
    await expect(store.get('a')).rejects.toThrow(
      `createSessionsTable(knex, { tableName: "web's", columns: { id: 'sid', ownerId: 'user_id' } }), then run: npx knex migrate:latest`
    )
    await createSessionsTable(knex, { tableName: "web's", columns: { id: 'sid', ownerId: 'user_id' } })
    expect(await store.get('a')).toBeNull()
    await store.close()
  })

  it('is not made with createTable: false; the error names the command, and once it was run the store works', async () => {
    await using opened = await openStore(database, { createTable: false })
    const { store, knex } = opened
    const error = await store.get('a').catch((reason) => reason)
    expect(error).toBeInstanceOf(TableMissingError)
    expect(error.message).toBe(
      'the sessions table "sessions" does not exist and createTable is false. Create it with a migration that calls createSessionsTable(knex), then run: npx knex migrate:latest'
    )
    expect(await dumpTable(database.name, knex)).toBe('')
    await createSessionsTable(knex)
    await store.set('a', handMade())
    await dropSessionsTable(knex)
    await expect(store.get('a')).rejects.toBeInstanceOf(TableMissingError)
  })

  it('is made by a store that waited for another, whose createTable is false', async () => {
    await using opened = await openStore(database)
    const forbidden = opened.another({ createTable: false })
    const [refused, ...made] = await Promise.allSettled([
      forbidden.ready(),
      ...Array.from({ length: 5 }, () => opened.store.set('a', handMade())),
      opened.another({ timeoutMs: 9000 }).ready()
    ])
    expect(refused).toMatchObject({ status: 'rejected', reason: expect.any(TableMissingError) })
    expect(made).toEqual(made.map(() => ({ status: 'fulfilled', value: undefined })))
    await forbidden.ready()
  })

  it('can be dropped and created again any number of times, also when it is not there', async () => {
    await using opened = await database.open()
    const { knex } = opened
    await dropSessionsTable(knex)
    for (let round = 0; round < 3; round++) {
      await createSessionsTable(knex, { version: 1 })
      await createSessionsTable(knex, { version: 1 })
      expect(await dumpTable(database.name, knex)).not.toBe('')
      await dropSessionsTable(knex, { version: 1 })
      await dropSessionsTable(knex, { version: 1 })
      expect(await dumpTable(database.name, knex)).toBe('')
    }
  })

  it('is the same whether the store made it or createSessionsTable', async () => {
    await using byStore = await openStore(database)
    await byStore.store.ready()
    await using byHand = await database.open()
    await createSessionsTable(byHand.knex, { version: 1 })
    const dump = await dumpTable(database.name, byHand.knex)
    expect(await dumpTable(database.name, byStore.knex)).toBe(dump)
    await createSessionsTable(byStore.knex)
    await new KnexSessionStore({ knex: byHand.knex, pruneIntervalMs: false }).ready()
    expect(await dumpTable(database.name, byStore.knex)).toBe(dump)
    expect(await dumpTable(database.name, byHand.knex)).toBe(dump)
  })
})

describeDatabases(
  'the sessions table of a database server',
  (database) => {
    it('is made again when the whole database was dropped and made again', async () => {
      await using opened = await openStore(database, {}, { knex: { log: SILENT } })
      const { store } = opened
      await store.set('before', handMade())
      await opened.database.recreate()
      await store.set('after', handMade())
      expect(await store.get('before')).toBeNull()
      expect(await store.length()).toBe(1)
    })

    it('is made by the store that was built while the server was down, once it is up', async () => {
      await using opened = await database.open()
      await using port = await ForwardedPort.to(opened.url)
      const knex = opened.connect({ connection: port.url(opened.url), log: SILENT })
      const store = new KnexSessionStore({ knex, pruneIntervalMs: false, timeoutMs: 2000 })
      for (let attempt = 0; attempt < 3; attempt++) {
        await expect(store.get('a')).rejects.toBeInstanceOf(DatabaseUnreachableError)
      }
      await port.up()
      await store.set('a', handMade({ user: 'ada' }))
      await port.down()
      await expect(store.get('a')).rejects.toBeInstanceOf(DatabaseUnreachableError)
      await port.up()
      expect(await store.get('a')).toMatchObject({ user: 'ada' })
      await store.close()
    })

    it.each([
      ['looked for', LOOKS],
      ['made', CREATES]
    ])('is made though the connection is lost on which it is %s', async (_when, pattern) => {
      await using opened = await database.open()
      await using port = await ForwardedPort.to(opened.url)
      await port.up()
      const knex = opened.connect({ connection: port.url(opened.url), log: SILENT })
      const store = new KnexSessionStore({ knex, pruneIntervalMs: false })
      port.cutAt(pattern, 1)
      await store.set('a', handMade({ user: 'ada' }))
      expect(port.cutsLeft).toBe(0)
      await knex.schema.dropTable('sessions')
      port.cutAt(pattern, 1)
      await store.set('b', handMade({ user: 'ada' }))
      expect(port.cutsLeft).toBe(0)
      expect(await store.length()).toBe(1)
      // But not for ever.
      await knex.schema.dropTable('sessions')
      port.cutAt(pattern, 100)
      await expect(store.get('a')).rejects.toBeInstanceOf(DatabaseUnreachableError)
      expect(port.cutsLeft).toBeGreaterThan(90)
      await store.close()
    })

    it('is used by a database user who may not create, and missing it the error names the privilege and the command', async () => {
      await using opened = await database.open()
      await using user = await limitedUser(opened)
      const store = new KnexSessionStore({ knex: user.knex, pruneIntervalMs: false })
      for (let attempt = 0; attempt < 2; attempt++) {
        const error = await store.get('a').catch((reason) => reason)
        expect(error).toBeInstanceOf(TableMissingError)
        expect(error.message).toMatch(/the database user lacks the privilege CREATE.*npx knex migrate:latest/)
      }
      await expect(createSessionsTable(user.knex)).rejects.toBeInstanceOf(TableMissingError)

      await createSessionsTable(opened.knex)
      await user.grantTables()
      await store.set('a', handMade({ user: 'ada' }))
      expect(await store.get('a')).toMatchObject({ user: 'ada' })
      await createSessionsTable(user.knex)
    })

    it('is made by a user who may, although another user of the same application could not', async () => {
      await using opened = await database.open()
      await using user = await limitedUser(opened)
      const limited = new KnexSessionStore({ knex: user.knex, pruneIntervalMs: false })
      const able = new KnexSessionStore({ knex: opened.knex, pruneIntervalMs: false })
      const [refused, made] = await Promise.allSettled([limited.ready(), able.ready()])
      expect(made).toEqual({ status: 'fulfilled', value: undefined })
      if (refused.status === 'rejected') expect(refused.reason).toBeInstanceOf(TableMissingError)
      await user.grantTables()
      await limited.ready()
    })
  },
  servers
)

describeDatabase('sqlite', 'the sessions table in memory', (database: Database) => {
  it('is made again when the pool, and the database with it, was destroyed', async () => {
    await using opened = await openStore(database, {}, { storage: 'memory' })
    const { store, knex } = opened
    await store.set('before', handMade())
    await knex.destroy()
    knex.initialize()
    expect(await store.get('before')).toBeNull()
    await store.set('after', handMade())
    expect(await opened.another().length()).toBe(1)
  })
})

describeDatabase('sqlite', 'the sessions table in a file that is read-only: the error', (database: Database) => {
  it('says so, and the table is used if it is there', async () => {
    await using opened = await openStore(database)
    const knex = opened.database.connect({ connection: { filename: opened.database.url, options: { readonly: true } } as never })
    const store = opened.another({ knex })
    await expect(store.get('a')).rejects.toBeInstanceOf(ReadOnlyDatabaseError)
    await opened.store.set('a', handMade({ user: 'ada' }))
    expect(await store.get('a')).toMatchObject({ user: 'ada' })
  })
})
