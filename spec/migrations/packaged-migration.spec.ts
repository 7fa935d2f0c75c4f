import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Knex } from 'knex'
import { describe, expect, it } from 'vitest'
import { createSessionsTable, KnexSessionStore, migrationsDirectory } from '../../lib'
import { dumpTable } from '../schema/table-dump'
import { databaseNamed, describeDatabases, type OpenDatabase } from '../support/databases'
import { handMade } from '../support/stores'

/** A released migration is never changed, and none is taken away: knex calls that a corrupt directory. A new layout is a new file. */
const RELEASED: Readonly<Record<string, string>> = {
  '20261122000000_create_sessions_table.js': '686e69960760760d1c7bebae3d91baf7f7a4ca75b7d9c1798c804fbe7a52a0b5'
}

const migrate = (knex: Knex) => knex.migrate.latest({ directory: migrationsDirectory })
const rollBack = (knex: Knex) => knex.migrate.rollback({ directory: migrationsDirectory })

describe('the folder of packaged migrations', () => {
  it('holds the released files and nothing else, not even types, which knex would take for migrations', () => {
    expect(readdirSync(migrationsDirectory)).toEqual(Object.keys(RELEASED))
  })

  it.each(Object.entries(RELEASED))('%s is as it was released', (file, hash) => {
    const text = readFileSync(join(migrationsDirectory, file), 'utf8').replaceAll('\r\n', '\n')
    expect(createHash('sha256').update(text).digest('hex')).toBe(hash)
  })

  it.each(Object.keys(RELEASED))('%s needs nothing but the Knex it is given', (file) => {
    expect(readFileSync(join(migrationsDirectory, file), 'utf8')).not.toMatch(/\brequire\s*\(|\bimport\b|\bprocess\./)
  })
})

describeDatabases('the sessions table', (database) => {
  const ways: Record<string, (opened: OpenDatabase) => Promise<unknown>> = {
    'the store': ({ knex }) => new KnexSessionStore({ knex, pruneIntervalMs: false }).set('a', handMade()),
    createSessionsTable: ({ knex }) => createSessionsTable(knex, { version: 1 }),
    'createSessionsTable in a transaction': ({ knex }) => knex.transaction((trx) => createSessionsTable(trx, { version: 1 })),
    'the packaged migration': ({ knex }) => migrate(knex),
    'the packaged migration without a transaction': ({ knex }) =>
      knex.migrate.latest({ directory: migrationsDirectory, disableTransactions: true })
  }

  it.each(Object.entries(ways))('is the same table when %s makes it first', async (_title, make) => {
    await using reference = await database.open()
    await createSessionsTable(reference.knex)
    const expected = await dumpTable(database.name, reference.knex)
    expect(expected).not.toBe('')

    await using opened = await database.open()
    await make(opened)
    expect(await dumpTable(database.name, opened.knex)).toBe(expected)
    for (const later of Object.values(ways)) await later(opened)
    expect(await dumpTable(database.name, opened.knex)).toBe(expected)
    expect((await opened.knex('knex_migrations').select('name')).map(({ name }) => name)).toEqual(Object.keys(RELEASED))
  })

  it('is the same table, with the same odd names, when the packaged migration makes it', async () => {
    const table = {
      tableName: 'the "sessions" `of` us; --',
      columns: { id: "o'id", data: 'Größe', expiresAt: 'expires.at', revision: 'select' }
    }
    const userParams = { sessionsTable: table }
    await using reference = await database.open()
    await createSessionsTable(reference.knex, table)
    await using opened = await database.open({ knex: { userParams } as Knex.Config })
    await migrate(opened.knex)
    expect(await dumpTable(database.name, opened.knex, table.tableName)).toBe(
      await dumpTable(database.name, reference.knex, table.tableName)
    )
    await rollBack(opened.knex)
    expect(await dumpTable(database.name, opened.knex, table.tableName)).toBe('')
  })

  it('is the same table whatever the Knex that migrates does to names and answers', async () => {
    await using reference = await database.open()
    await createSessionsTable(reference.knex)
    const hostile: Knex.Config = {
      wrapIdentifier: (name, original) => original(name.startsWith('knex_') || name === '*' ? name : `${name}_wrapped`),
      postProcessResponse: (answer) => (answer === null || typeof answer !== 'object' ? answer : { renamed: answer })
    }
    await using opened = await database.open()
    for (let run = 0; run < 2; run++) {
      await opened.connect(hostile).migrate.latest({ directory: migrationsDirectory })
      await opened.knex('knex_migrations').delete()
    }
    expect(await dumpTable(database.name, opened.knex)).toBe(await dumpTable(database.name, reference.knex))
  })

  it('of another make is left as it is by the packaged migration, which fails, and is not held for done', async () => {
    await using opened = await database.open({ knex: { log: { warn: () => undefined } } })
    const { knex } = opened
    await knex.schema.createTable('sessions', (table) => table.string('sid').primary())
    const before = await dumpTable(database.name, knex)
    await expect(migrate(knex)).rejects.toThrow(/"sessions" is not a sessions table of knex-session-store.*it lacks the columns id, data/)
    expect(await dumpTable(database.name, knex)).toBe(before)
    expect(await knex('knex_migrations').select()).toEqual([])
    await knex.schema.renameTable('sessions', 'old_sessions')
    await migrate(knex)
    expect(await knex('old_sessions').select()).toEqual([])
  })

  it('that somebody put in the place of ours is not dropped by a rollback, which goes on with the others of its batch', async () => {
    const warnings: string[] = []
    await using opened = await database.open({ knex: { log: { warn: (message: string) => warnings.push(message) } } })
    const { knex } = opened
    await migrate(knex)
    await knex.schema.dropTable('sessions')
    await knex.schema.createTable('sessions', (table) => table.string('sid').primary())
    await knex('sessions').insert({ sid: 'theirs' })
    await rollBack(knex)
    expect(await knex('sessions').select()).toEqual([{ sid: 'theirs' }])
    expect(warnings).toEqual([expect.stringContaining('the table "sessions" was not dropped')])
    expect(await knex('knex_migrations').select()).toEqual([])
  })

  it('that was put aside by renaming is not in the way of the packaged migration', async () => {
    await using opened = await database.open()
    await createSessionsTable(opened.knex)
    await opened.knex.schema.renameTable('sessions', 'sessions_put_aside')
    await migrate(opened.knex)
    expect(await dumpTable(database.name, opened.knex)).not.toBe('')
  })

  it('made by the packaged migration is made with the other migrations of its batch, or not at all', async () => {
    await using opened = await database.open()
    const packaged = require(join(migrationsDirectory, Object.keys(RELEASED)[0] as string))
    const failing = { up: () => Promise.reject(new Error('on purpose')), down: () => Promise.resolve() }
    const migrations: Record<string, Knex.Migration> = { first: packaged, second: failing }
    const migrationSource: Knex.MigrationSource<string> = {
      getMigrations: () => Promise.resolve(Object.keys(migrations)),
      getMigrationName: (name) => name,
      getMigration: (name) => Promise.resolve(migrations[name] as Knex.Migration)
    }
    const quiet = opened.connect({ log: { warn: () => undefined } })
    await expect(quiet.migrate.latest({ migrationSource })).rejects.toThrow('on purpose')
    // Where a table is not made in a transaction, it stays, and the migration finds it at its next run.
    const stays = database.name === 'mysql'
    expect((await dumpTable(database.name, opened.knex)) !== '').toBe(stays)
    migrations.second = { up: () => Promise.resolve(), down: () => Promise.resolve() }
    await quiet.migrate.latest({ migrationSource })
    expect(await dumpTable(database.name, opened.knex)).not.toBe('')
  })
})

describe('the packaged migration', () => {
  it.each([
    [{ tablename: 'web' }, 'userParams.sessionsTable has the unknown option "tablename" (options: tableName, schemaName, columns)'],
    [{ columns: { sid: 'id' } }, 'userParams.sessionsTable.columns has the unknown option "sid"'],
    [{ columns: { id: 'data' } }, 'userParams.sessionsTable.columns gives two columns one name'],
    [{ tableName: 'web?' }, 'userParams.sessionsTable: "web?" cannot be a name of a table, schema or column'],
    [{ tableName: 'app.web' }, 'tableName "app.web" has a dot in it: the schema is an option of its own, schemaName'],
    [{ tableName: '' }, 'userParams.sessionsTable: "" cannot be a name'],
    [{ tableName: 5 }, 'userParams.sessionsTable: 5 cannot be a name'],
    [{ schemaName: 'a\0b' }, 'cannot be a name'],
    [{ columns: { id: '\ud800' } }, 'cannot be a name']
  ])('refuses the userParams %j', async (sessionsTable, message) => {
    const log = { warn: () => undefined }
    await using opened = await databaseNamed('sqlite').open({ knex: { userParams: { sessionsTable }, log } as Knex.Config })
    await expect(migrate(opened.knex)).rejects.toThrow(message)
  })
})
