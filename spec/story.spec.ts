import { join } from 'node:path'
import type { Knex } from 'knex'
import { afterEach, expect, it } from 'vitest'
import { createSessionsTable, KnexSessionStore, type KnexSessionStoreOptions } from '../lib'
import { rolledBack } from '../lib/testing'
import { makeSite, shuffled, visit } from './story/site.mts'
import type { Input, Output } from './story/test-file.worker.mts'
import { describeDatabases } from './support/databases'
import { runProcesses } from './support/processes'
import { StatementLog } from './support/stores'

/**
 * The story this project comes from. An application is built by a factory. Its tests build it hundreds of times, in any order, in many files
 * at once, each on a transaction that is rolled back; and a session store that defines its table when it is constructed, or remembers that it
 * has done so, answers "already defined", or finds nothing where it believed a table to be.
 */
describeDatabases('one app factory', (database) => {
  const stores: KnexSessionStore[] = []
  const storeOf = (options: Partial<KnexSessionStoreOptions>) => (knex: Knex) => {
    const store = new KnexSessionStore({ knex, ...options })
    stores.push(store)
    return store
  }
  afterEach(() => Promise.all(stores.splice(0).map((store) => store.close())))

  it('builds 300 apps, of two requests each, at the cost of two schema statements in all', { timeout: 120_000 }, async () => {
    await using opened = await database.open()
    const { knex } = opened
    const log = new StatementLog(knex)
    const names = Array.from({ length: 300 }, (_, index) => `visitor${index}`)
    for (const batch of batches(shuffled(names, 1), 20)) {
      const answers = batch.map((name) => visit(makeSite(knex, storeOf({})), name))
      expect(await Promise.all(answers)).toEqual(batch)
    }
    expect(log.statements.filter((sql) => !isOnRows(sql))).toHaveLength(2)
    expect(await knex('sessions').count({ rows: '*' })).toEqual([{ rows: expect.toSatisfy((rows) => Number(rows) === names.length) }])
  })

  it('builds apps of two kinds, in any order, on several Knex instances, and nothing is "already defined"', async () => {
    await using opened = await database.open({ knex: { pool: { min: 0, max: 3 } } })
    const instances = [opened.knex, opened.connect(), opened.connect()]
    const logs = instances.map((knex) => new StatementLog(knex))
    const kinds = [storeOf({}), storeOf({ tableName: 'admin_sessions', columns: { id: 'sid' }, prefix: 'admin:' })]
    const apps = Array.from({ length: 60 }, (_, index) => ({
      name: `visitor${index}`,
      knex: instances[index % 3] as Knex,
      makeStore: kinds[index % 2] as (knex: Knex) => KnexSessionStore
    }))
    const visits = shuffled(apps, 2).map(async ({ name, knex, makeStore }) => [name, await visit(makeSite(knex, makeStore), name)])
    for (const [name, answer] of await Promise.all(visits)) expect(answer).toBe(name)
    const schemaStatements = logs.flatMap(({ statements }) => statements).filter((sql) => !isOnRows(sql))
    // For each of the two tables.
    expect(schemaStatements).toHaveLength(4)
  })

  it('builds 100 apps, each on a transaction that is rolled back, without one schema statement more', async () => {
    await using opened = await database.open()
    const { knex } = opened
    const log = new StatementLog(knex)
    await createSessionsTable(knex)
    expect(log.statements.filter((sql) => !isOnRows(sql))).toHaveLength(2)
    for (const batch of batches(
      Array.from({ length: 100 }, (_, index) => index),
      4
    )) {
      await Promise.all(
        batch.map(async () => {
          await using test = rolledBack(knex)
          // The same visitor in each: nothing of another test is there.
          expect(await visit(makeSite(test.knex, storeOf({ storedId: 'plain' })), 'ada')).toBe('ada')
          expect(await test.knex('sessions').select('id')).toHaveLength(1)
        })
      )
    }
    expect(log.statements.filter((sql) => !isOnRows(sql))).toHaveLength(2)
    expect(await knex('sessions').select('id')).toEqual([])
  })

  it('is built by test files that run at once, each app on a transaction that is rolled back', { timeout: 90_000 }, async () => {
    await using opened = await database.open()
    const files = Array.from({ length: 4 }, (_, seed): Input => ({ config: opened.config, seed, tests: 15, createsTable: true }))
    const results = await runProcesses<Input, Output>(join(__dirname, 'story/test-file.worker.mts'), files, { timeoutMs: 80_000 })
    expect(results.map(({ error }) => error)).toEqual(files.map(() => undefined))
    for (const { output } of results) {
      expect(output?.answers).toEqual(Array.from({ length: 15 }, (_, test) => `visitor${test}`))
      // A look, and for those who came first a creation or a try at it: once for a file, and not for each of its apps.
      expect(output?.schemaStatements).toBeGreaterThanOrEqual(1)
      expect(output?.schemaStatements).toBeLessThanOrEqual(7)
    }
    expect(await opened.knex('sessions').select('id')).toEqual([])
  })

  // MySQL makes no table in a transaction, and SQLite has one writer at a time.
  if (database.name === 'postgres' || database.name === 'cockroach') {
    it('is built by such test files also where nobody has made the table: each makes it in its transaction, and none is left', {
      timeout: 90_000
    }, async () => {
      await using opened = await database.open()
      const files = Array.from({ length: 3 }, (_, seed): Input => ({ config: opened.config, seed, tests: 5, createsTable: false }))
      const results = await runProcesses<Input, Output>(join(__dirname, 'story/test-file.worker.mts'), files, { timeoutMs: 80_000 })
      expect(results.map(({ error }) => error)).toEqual(files.map(() => undefined))
      for (const { output } of results) expect(output?.answers).toEqual(Array.from({ length: 5 }, (_, test) => `visitor${test}`))
      expect(await opened.knex.schema.hasTable('sessions')).toBe(false)
    })
  }
})

/** A statement on the rows of a sessions table, on a transaction, or on an index of the table: what is left is about tables. */
function isOnRows(sql: string): boolean {
  // A look at the columns may be a query for no rows.
  return (
    !/limit 0$/i.test(sql) &&
    /^\s*(\/\*M![^*]*\*\/ )?(select|insert into|update|delete from)\b[\s\S]*\b(admin_)?sessions\b|^(begin|commit|rollback|savepoint|release|create index|select @@autocommit)\b/i.test(
      sql
    )
  )
}

function batches<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) => items.slice(index * size, (index + 1) * size))
}
