import { expect, it } from 'vitest'
import { createSessionsTable, KnexSessionStore } from '../../lib'
import { dumpTable } from '../schema/table-dump'
import { type Database, describeDatabases, type OpenDatabase } from '../support/databases'
import { handMade } from '../support/stores'
import { Project } from './project'

const COMMANDS = 6

describeDatabases('six `knex migrate:latest` at once', (database) => {
  it.each(['migrationsDirectory', 'stub'] as const)(
    'all end well with the migration from %s, and so do stores that make the table meanwhile',
    { timeout: 120_000 },
    async (from) => {
      await using opened = await database.open()
      await using project = await Project.create(opened, { format: 'js', from })
      if (from === 'stub') await project.makeMigration()
      // Knex makes its own two tables here, unguarded: see the next spec.
      await project.knex('migrate:list')
      for (let round = 0; round < 2; round++) {
        const stores = [opened.connect(), opened.connect()].map((knex) => new KnexSessionStore({ knex, pruneIntervalMs: false }))
        const [runs] = await Promise.all([
          atOnce(project),
          Promise.all(stores.map((store, index) => store.set(`visitor ${index}`, handMade())))
        ])
        expect(runs).toEqual(
          runs.map(() => ({ exitCode: 0, output: expect.stringMatching(/Already up to date|Batch \d run: 1 migrations/) }))
        )
        await expectOneTable(database, opened)
        for (const store of stores) await store.close()
        await opened.knex('knex_migrations').delete()
        await opened.knex.schema.dropTable('sessions')
      }
    }
  )

  it('on a database where not even the tables of knex are: who fails, fails in those, and the next run ends well', async () => {
    await using opened = await database.open()
    await using project = await Project.create(opened, { format: 'js', from: 'migrationsDirectory' })
    for (const { exitCode, output } of await atOnce(project)) {
      if (exitCode !== 0) expect(output).toMatch(/knex_migrations|Migration table is already locked|database is locked/)
    }
    // Two that filled the table of the lock at once have left it two rows, and so locked for ever.
    expect(await project.knex('migrate:unlock')).toMatchObject({ exitCode: 0 })
    expect(await project.knex('migrate:latest')).toMatchObject({ exitCode: 0 })
    await expectOneTable(database, opened)
  })
})

function atOnce(project: Project) {
  return Promise.all(Array.from({ length: COMMANDS }, () => project.knex('migrate:latest')))
}

async function expectOneTable(database: Database, { knex }: OpenDatabase): Promise<void> {
  await using reference = await database.open()
  await createSessionsTable(reference.knex)
  expect(await dumpTable(database.name, knex)).toBe(await dumpTable(database.name, reference.knex))
  expect(await knex('knex_migrations').select('name')).toHaveLength(1)
}
