import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, inject, it } from 'vitest'
import { databaseNamed, databases, describeDatabases } from './databases'
import { startPostgres } from './postgres-server'
import { runProcess } from './processes'

describeDatabases('a database of a spec', (database) => {
  it('is empty, and nobody else sees what is made in it', async () => {
    await using first = await database.open()
    await using second = await database.open()
    await first.knex.schema.createTable('things', (table) => table.integer('id'))
    expect(await first.knex.schema.hasTable('things')).toBe(true)
    expect(await second.knex.schema.hasTable('things')).toBe(false)
  })

  it('can be reached by further Knex instances', async () => {
    await using opened = await database.open()
    await opened.knex.schema.createTable('things', (table) => table.integer('id'))
    await opened
      .connect({ pool: { min: 0, max: 1 } })('things')
      .insert({ id: 7 })
    expect(await opened.knex('things')).toEqual([{ id: 7 }])
  })

  it('can be reached by child processes', async () => {
    await using opened = await database.open()
    const worker = join(__dirname, 'databases.worker.mts')
    const { error, exitCode } = await runProcess(worker, opened.config)
    expect({ error, exitCode }).toEqual({ error: undefined, exitCode: 0 })
    expect(await opened.knex('things')).toEqual([{ id: 8 }])
  })

  it('is gone with its Knex instances when it is disposed', async () => {
    const opened = await database.open()
    const { knex } = opened
    await knex.raw('SELECT 1')
    await opened[Symbol.asyncDispose]()
    await expect(knex.raw('SELECT 1')).rejects.toThrow(/Unable to acquire a connection/)
    if (database.name === 'sqlite') expect(existsSync(dirname(opened.url))).toBe(false)
  })

  it('is dropped in spite of a transaction that nobody ends, and says so', async () => {
    const opened = await database.open({ closingMs: 200 })
    await opened.knex.schema.createTable('things', (table) => table.integer('id'))
    const transaction = await opened.knex.transaction()
    await transaction('things').insert({ id: 1 })
    await expect(opened[Symbol.asyncDispose]()).rejects.toThrow(/still in use/)
    // So that this spec is not blamed for the leak; the connection has been cut, so this may fail.
    await transaction.rollback().catch(() => undefined)
  })

  if (database.name === 'sqlite') {
    it('cannot be dropped and made again, being a file', async () => {
      await using opened = await database.open()
      await expect(opened.recreate()).rejects.toThrow(/for database servers/)
    })
  } else {
    it('can be dropped and made again under connections that are open', async () => {
      await using opened = await database.open()
      await opened.knex.schema.createTable('things', (table) => table.integer('id'))
      await opened.recreate()
      expect(await opened.connect().schema.hasTable('things')).toBe(false)
    })
  }
})

describe('SQLite for specs', () => {
  const sqlite = databaseNamed('sqlite')

  it('is a file in WAL mode', async () => {
    await using opened = await sqlite.open()
    expect(await opened.knex.raw('PRAGMA journal_mode')).toEqual([{ journal_mode: 'wal' }])
  })

  it('is in memory when asked', async () => {
    await using opened = await sqlite.open({ storage: 'memory' })
    expect(opened.config.connection).toEqual({ filename: ':memory:' })
    await opened.knex.raw('SELECT 1')
  })
})

describe('the list of databases', () => {
  it('has SQLite, PostgreSQL and MySQL unless TEST_DATABASES chooses', () => {
    const names = databases.map(({ name }) => name)
    expect(names).toEqual(inject('chosenDatabases') ?? expect.arrayContaining(['sqlite', 'postgres', 'mysql']))
  })

  it('gives a reason for each that is missing', () => {
    for (const { available, skipReason } of databases) expect(skipReason === undefined).toBe(available)
  })
})

describe('a PostgreSQL of the run', () => {
  it('is stopped and its files removed', async () => {
    const server = await startPostgres()
    const { default: pg } = await import('pg')
    const client = new pg.Client({ connectionString: server.url })
    await client.connect()
    const { rows } = await client.query('SHOW data_directory')
    client.on('error', () => undefined)
    await client.end()
    await server.stop()
    expect(existsSync(dirname(rows[0].data_directory))).toBe(false)
    await expect(new pg.Client({ connectionString: server.url }).connect()).rejects.toThrow(/ECONNREFUSED/)
  })
})
