import { describe, expect, it } from 'vitest'
import { createSessionsTable, KnexSessionStore, type SessionsTableOptions, type SessionsTableSqlOptions, sessionsTableSql } from '../../lib'
import { type DatabaseName, describeDatabase, describeDatabases } from '../support/databases'
import { handMade } from '../support/stores'
import { dumpTable } from './table-dump'

const CLIENTS: Readonly<Record<DatabaseName, readonly string[]>> = {
  sqlite: ['better-sqlite3', 'sqlite3', 'sqlite'],
  postgres: ['pg', 'postgres', 'postgresql'],
  mysql: ['mysql2', 'mysql'],
  cockroach: ['cockroachdb']
}

describeDatabases('the SQL of the sessions table', (database) => {
  const tables: [what: string, table: SessionsTableOptions][] = [
    ['with the defaults', {}],
    ['with names of its own', { tableName: 'web "sessions"`s new', columns: { id: 'sid', ownerId: 'user', data: 'a "quoted" `name`' } }]
  ]

  it.each(tables)('makes the table that createSessionsTable makes, %s', async (_what, table) => {
    await using byPackage = await database.open()
    await createSessionsTable(byPackage.knex, table)
    const expected = await dumpTable(database.name, byPackage.knex, table.tableName)

    for (const client of CLIENTS[database.name]) {
      await using bySql = await database.open()
      for (const statement of sessionsTableSql({ client, ...table }).split(';\n')) await bySql.knex.raw(statement)
      expect(await dumpTable(database.name, bySql.knex, table.tableName)).toBe(expected)
      const store = new KnexSessionStore({ knex: bySql.knex, ...table, createTable: false, pruneIntervalMs: false })
      await store.ready()
      await store.set('a', handMade({ user: 'ada' }))
      expect(await store.get('a')).toMatchObject({ user: 'ada' })
      await store.close()
    }
  })
})

describeDatabase('postgres', 'the SQL of the sessions table', (database) => {
  it.each<[what: string, options: Omit<SessionsTableSqlOptions, 'client'>]>([
    ['kept out of the write-ahead log', { unlogged: true }],
    ['in a schema', { schemaName: 'the web', tableName: 'sessions' }]
  ])('makes the same table %s', async (_what, options) => {
    await using byPackage = await database.open()
    await using bySql = await database.open()
    for (const { knex } of [byPackage, bySql]) await knex.raw('CREATE SCHEMA "the web"')
    await createSessionsTable(byPackage.knex, options)
    // In one text, as psql gets it.
    await bySql.knex.raw(sessionsTableSql({ client: 'pg', ...options }))
    expect(await dumpTable('postgres', bySql.knex)).toBe(await dumpTable('postgres', byPackage.knex))
    expect(await dumpTable('postgres', bySql.knex)).not.toBe('')
  })

  it('leaves LZ4 out, for servers that do not have it', async () => {
    await using opened = await database.open()
    await opened.knex.raw(sessionsTableSql({ client: 'pg', lz4: false }))
    const [column] = (await dumpTable('postgres', opened.knex)).split('\n').filter((line) => line.startsWith('column data'))
    expect(column).not.toMatch(/ l$/)
    const store = new KnexSessionStore({ knex: opened.knex, createTable: false, pruneIntervalMs: false })
    await store.ready()
    await store.close()
  })
})

describe('the SQL of the sessions table', () => {
  it.each<[what: string, options: unknown, message: string | RegExp]>([
    ['nothing', undefined, 'the options of sessionsTableSql() must be an object with the client, got undefined'],
    ['no client', {}, /^client must be the name of a Knex client, as in a knexfile: PostgreSQL \(pg\), .*, got undefined$/],
    [
      'a client of another database',
      { client: 'mssql' },
      /^this package does not support the Knex client "mssql"; make the Knex with one of these: PostgreSQL \(pg\)/
    ],
    ['a property of objects as the client', { client: 'constructor' }, /^this package does not support the Knex client "constructor"/],
    ['a misspelt option', { client: 'pg', tablename: 'web' }, /^unknown option "tablename", did you mean tableName\?/],
    [
      'an option that CockroachDB takes and ignores',
      { client: 'cockroachdb', unlogged: true },
      'unlogged must be false on cockroachdb, got true (boolean)'
    ],
    ['an option of another database', { client: 'mysql2', unlogged: true }, 'unlogged must be false on mysql, got true (boolean)'],
    ['a wrong option', { client: 'pg', lz4: 'no' }, 'lz4 must be true or false, got "no" (string)'],
    ['another version', { client: 'pg', version: 2 }, 'version must be 1, the layout this release knows, got 2 (number)'],
    [
      'a name that cannot be one',
      { client: 'pg', tableName: 'a?' },
      'tableName must be a name without a question mark and without the character NUL (U+0000), got "a?" (string)'
    ]
  ])('is refused for %s', (_what, options, message) => {
    expect(() => sessionsTableSql(options as SessionsTableSqlOptions)).toThrow(message)
  })
})
