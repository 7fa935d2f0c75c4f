import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { createSessionsTable, KnexSessionStore, type SessionsTableOptions } from '../../lib'
import { makeTable } from '../schema/foreign-makers'
import { dumpTable } from '../schema/table-dump'
import { type Database, databaseNamed, describeDatabases, type OpenDatabase } from '../support/databases'
import { handMade } from '../support/stores'
import { Project, type ProjectOptions } from './project'

const PACKAGED = '20261122000000_create_sessions_table.js'

const PROJECTS: [string, ProjectOptions][] = [
  ['knexfile.js', { format: 'js', from: 'migrationsDirectory' }],
  ['knexfile.js, in a project of ES modules', { format: 'js', type: 'module', from: 'migrationsDirectory' }],
  ['knexfile.mjs', { format: 'mjs', from: 'migrationsDirectory' }],
  ['knexfile.ts', { format: 'ts', from: 'migrationsDirectory' }],
  ['knexfile.js, with a migration from the stub', { format: 'js', from: 'stub' }],
  ['knexfile.mjs, with a migration from the stub', { format: 'mjs', from: 'stub' }],
  ['knexfile.ts, with a migration from the stub', { format: 'ts', from: 'stub' }]
]
// In a short run (see vitest.config.mts), what the databases below do not cover: another format each way.
const isShort = process.env.SPEC_DATABASES !== undefined

it.each(PROJECTS.filter(([title]) => !isShort || /mjs$|ts, with/.test(title)))(
  'the knex command goes up and down by %s',
  async (_title, options) => {
    await goUpAndDown(databaseNamed('sqlite'), options)
  }
)

describeDatabases('the knex command', (database) => {
  if (database.name !== 'sqlite') {
    it('goes up and down with the packaged migration', () => goUpAndDown(database, { format: 'js', from: 'migrationsDirectory' }))
    it('goes up and down with a migration from the stub', () => goUpAndDown(database, { format: 'js', from: 'stub' }))
  }

  it('gives the packaged migration its options by userParams', async () => {
    await using opened = await database.open()
    const table: SessionsTableOptions = { tableName: 'web "sessions" new', columns: { id: 'sid', ownerId: 'user' } }
    if (database.name === 'postgres' || database.name === 'cockroach') {
      await opened.knex.raw('CREATE SCHEMA "the web"')
      Object.assign(table, { schemaName: 'the web' })
    }
    await using project = await Project.create(opened, { format: 'js', from: 'migrationsDirectory', sessionsTable: table })
    expect(await project.knex('migrate:latest')).toMatchObject({ exitCode: 0 })
    const dump = await dumpTable(database.name, opened.knex, table.tableName)
    const store = new KnexSessionStore({ knex: opened.knex, ...table, createTable: false, pruneIntervalMs: false })
    await store.set('a', handMade({ user: 'ada' }))
    expect(await store.get('a')).toMatchObject({ user: 'ada' })
    await store.close()

    expect(await project.knex('migrate:rollback')).toMatchObject({ exitCode: 0 })
    expect(await dumpTable(database.name, opened.knex, table.tableName)).toBe('')
    await createSessionsTable(opened.knex, table)
    expect(await dumpTable(database.name, opened.knex, table.tableName)).toBe(dump)
  })

  it.each(['migrationsDirectory', 'stub'] as const)(
    'refuses the table of connect-session-knex, by the migration from %s, and keeps its rows',
    async (from) => {
      await using opened = await database.open()
      await using project = await Project.create(opened, { format: 'js', from })
      if (from === 'stub') {
        const file = join(project.folder, 'migrations', await project.makeMigration())
        await writeFile(file, (await readFile(file, 'utf8')).replaceAll(/tableName: '[^']*'/g, "tableName: 'sessions'"))
      }
      await using theirs = await makeTable('connect-session-knex', opened, 'sessions')
      const { exitCode, output } = await project.knex('migrate:latest')
      expect(exitCode).toBe(1)
      expect(output).toContain('it looks like the table of connect-session-knex')
      expect(output).toMatch(/Set (the option )?tableName to another name.*rename that table/)
      await theirs.check()

      // The second way over.
      await opened.knex.schema.renameTable('sessions', 'old_sessions')
      expect(await project.knex('migrate:latest')).toMatchObject({ exitCode: 0 })
      expect(await opened.knex('old_sessions').select('sid')).toEqual([{ sid: 'a session' }])

      // Somebody puts it back, over ours: the rollback does not take it away.
      await opened.knex.schema.dropTable('sessions')
      await opened.knex.schema.renameTable('old_sessions', 'sessions')
      const rolledBack = await project.knex('migrate:rollback')
      expect(rolledBack.output).toContain(from === 'stub' ? 'nothing was done to it' : 'was not dropped')
      expect(rolledBack.exitCode).toBe(from === 'stub' ? 1 : 0)
      await theirs.check()
    }
  )
})

/** All that a user does with a migration, one command after the other. */
async function goUpAndDown(database: Database, options: ProjectOptions): Promise<void> {
  await using opened = await database.open()
  await using project = await Project.create(opened, options)
  const name = options.from === 'stub' ? await project.makeMigration() : PACKAGED
  const run = async (command: string, expected: string) => {
    const { exitCode, output } = await project.knex(command)
    expect({ exitCode, output }, command).toEqual({ exitCode: 0, output: expect.stringContaining(expected) })
  }

  await run('migrate:status', `Found 1 Pending Migration file/files.\n${name}`)
  await run('migrate:latest', 'Batch 1 run: 1 migrations')
  await run('migrate:list', `Found 1 Completed Migration file/files.\n${name}\nNo Pending Migration files Found.`)
  await run('migrate:latest', 'Already up to date')
  const dump = await keepsSessions(database, opened)
  await run('migrate:rollback', 'Batch 1 rolled back: 1 migrations')
  expect(await dumpTable(database.name, opened.knex)).toBe('')
  await run('migrate:up', `Batch 1 ran the following migrations:\n${name}`)
  expect(await dumpTable(database.name, opened.knex)).toBe(dump)
  await run('migrate:down', `Batch 1 rolled back the following migrations:\n${name}`)
  expect(await dumpTable(database.name, opened.knex)).toBe('')
  await run('migrate:list', 'No Completed Migration files Found.')

  await createSessionsTable(opened.knex)
  expect(await dumpTable(database.name, opened.knex)).toBe(dump)
}

async function keepsSessions(database: Database, { knex }: OpenDatabase): Promise<string> {
  const dump = await dumpTable(database.name, knex)
  const store = new KnexSessionStore({ knex, createTable: false, pruneIntervalMs: false })
  await store.set('a', handMade({ user: 'ada' }))
  expect(await store.get('a')).toMatchObject({ user: 'ada' })
  await store.close()
  return dump
}
