import type { Knex } from 'knex'
import { describe, expect, it } from 'vitest'
import { createSessionsTable, dropSessionsTable, InvalidOptionError, KnexSessionStore, registerSessionsTable } from '../../lib'
import { type Database, type DatabaseName, databases, describeDatabases } from '../support/databases'
import { handMade } from '../support/stores'

const NAMES: readonly string[] = [
  'Sessions',
  'SESSIONS',
  'a "quoted" name',
  '"',
  '""',
  "it's",
  '`ticks`',
  '[brackets]',
  'a;b; DROP TABLE x --',
  '/* a comment */',
  'back\\slash\\',
  ' leading space',
  'two  spaces',
  'tab\tand\nline\r\nbreak',
  'no\u00a0break',
  '$1 $$ :name @x %s %',
  'select',
  'user',
  '1st',
  '-',
  'Größe',
  '会话',
  'e\u0301',
  '\u202e',
  'x'.repeat(63),
  'ä'.repeat(31)
]
/** What some can and others cannot have. */
const ODD_NAMES: readonly string[] = [
  '🍪',
  'trailing space ',
  'x'.repeat(64),
  'x'.repeat(65),
  'ä'.repeat(32),
  'ä'.repeat(64),
  'sqlite_sessions'
]
const NEVER: readonly unknown[] = ['', 'a?', '??', 'a\0b', '\ud800', 'a\udc00', 5, null, {}, ['a']]

const REFUSED: Readonly<Record<DatabaseName, readonly string[]>> = {
  sqlite: ['sqlite_sessions'],
  postgres: ['x'.repeat(64), 'x'.repeat(65), 'ä'.repeat(32), 'ä'.repeat(64)],
  mysql: ['🍪', 'trailing space ', 'x'.repeat(65)],
  cockroach: []
}

const COLUMN_KEYS = ['id', 'data', 'expiresAt', 'expiresHour', 'revision', 'ownerId', 'createdAt', 'lastSeenAt'] as const

const storeOn = (knex: Knex, options: object) => new KnexSessionStore({ knex, pruneIntervalMs: false, ...options })
const shown = (name: unknown) => JSON.stringify(name)?.slice(0, 40)

describeDatabases('a name of table and columns', (database) => {
  const refused = REFUSED[database.name]
  const allowed = [...NAMES, ...ODD_NAMES].filter((name) => !refused.includes(name))

  it('is used exactly as it is, for every name that the constructor takes', { timeout: 120_000 }, async () => {
    await using opened = await database.open()
    const { knex } = opened
    await knex.schema.createTable('x', (table) => table.integer('id'))
    for (const [index, name] of allowed.entries()) {
      // Each column's name is odd too, and another one. Where names differ by their ends, these are before.
      const columns = Object.fromEntries(
        COLUMN_KEYS.map((key, at) => [key, cutTo(database, `${at}.${allowed[(index + at) % allowed.length]}`)])
      )
      const options = { tableName: name, columns }
      const store = storeOn(knex, options)
      await usesEveryStatement(store).catch((error) => {
        throw new Error(`${shown(name)}: ${error.stack}`)
      })
      expect(await tableNames(database, knex), shown(name)).toContain(name)
      expect(new Set(await columnNames(database, knex, name)), shown(name)).toEqual(new Set(Object.values(columns)))
      await store.close()
      await dropSessionsTable(knex, options)
      expect(await tableNames(database, knex), shown(name)).toEqual(['x'])
    }
  })

  it('is refused by the constructor where the database could not have it', async () => {
    await using opened = await database.open()
    const { knex } = opened
    for (const name of [...NEVER, ...refused]) {
      for (const [option, options] of [
        ['tableName', { tableName: name }],
        ['columns.expiresHour', { columns: { expiresHour: name } }],
        ['schemaName', { schemaName: name }]
      ] as const) {
        for (const make of [() => storeOn(knex, options), () => registerSessionsTable(knex, options as object)]) {
          expect(make, `${option} ${shown(name)}`).toThrow(InvalidOptionError)
          expect(make).toThrow(expect.objectContaining({ option }))
        }
        await expect(createSessionsTable(knex, options as object)).rejects.toThrow(InvalidOptionError)
      }
    }
  })

  it('may differ from another by its last letter: two tables in one schema, however long their names', async () => {
    await using opened = await database.open()
    const { knex } = opened
    const long = 's'.repeat(database.name === 'sqlite' ? 300 : 62)
    const tables = [
      { tableName: `${long}a` },
      { tableName: `${long}b` },
      { tableName: 'sessions' },
      { tableName: 'sessions_expires' },
      // The names of the indexes, were they made of table and column, would be the same.
      { tableName: 'a', columns: { expiresHour: 'b_c', ownerId: 'b' } },
      { tableName: 'a_b', columns: { expiresHour: 'c', ownerId: 'b_c' } }
    ]
    const stores = tables.map((table) => storeOn(knex, table))
    await Promise.all(stores.map((store, index) => store.set('a', handMade({ index }))))
    for (const [index, store] of stores.entries()) {
      expect(await store.get('a')).toMatchObject({ index })
      expect(await store.length()).toBe(1)
    }
    expect(await tableNames(database, knex)).toHaveLength(tables.length)
  })

  it('is not changed by what the application’s Knex does to identifiers', async () => {
    await using opened = await database.open()
    const hostile = opened.connect({
      wrapIdentifier: (value, original) => (value === '*' ? value : original(`${value}_wrapped`)),
      postProcessResponse: () => Object.freeze([])
    })
    const options = { tableName: 'userSessions', columns: { id: 'sessionId' } }
    await usesEveryStatement(storeOn(hostile, options))
    expect(await tableNames(database, opened.knex)).toEqual(['userSessions'])
    await dropSessionsTable(hostile, options)
    expect(await tableNames(database, opened.knex)).toEqual([])
  })
})

describeDatabases(
  'a name of a schema',
  (database) => {
    it('is used exactly as it is', async () => {
      await using opened = await database.open()
      const { knex } = opened
      for (const schemaName of ['Web', 'a "quoted".schema; --', 'two  spaces', '会话', 'x'.repeat(63)]) {
        await knex.raw(`CREATE SCHEMA "${schemaName.replaceAll('"', '""')}"`)
        const store = storeOn(knex, { schemaName, tableName: 'a.b' })
        await usesEveryStatement(store)
        expect((await knex('pg_tables').where({ tablename: 'a.b' }).select('schemaname')).map(({ schemaname }) => schemaname)).toEqual([
          schemaName
        ])
        await dropSessionsTable(knex, { schemaName, tableName: 'a.b' })
      }
    })

    it('of a schema that does not exist is an error that names it', async () => {
      await using opened = await database.open()
      await expect(storeOn(opened.knex, { schemaName: 'no such' }).get('a')).rejects.toThrow(
        'the sessions table "no such.sessions" does not exist and its schema "no such" does not exist either: create the schema first'
      )
    })
  },
  databases.filter(({ name }) => name === 'postgres' || name === 'cockroach')
)

describe('a name of a schema, on others', () => {
  describeDatabases(
    'it',
    (database) => {
      it('is an attached database', async () => {
        await using opened = await database.open({ storage: 'memory' })
        const { knex } = opened
        await knex.raw(`ATTACH ':memory:' AS "the ""web"".x"`)
        const options = { schemaName: 'the "web".x', tableName: 'a.b' }
        await usesEveryStatement(storeOn(knex, options))
        expect(await knex.raw(`SELECT name FROM "the ""web"".x".sqlite_master WHERE type = 'table'`)).toEqual([{ name: 'a.b' }])
        expect(await tableNames(database, knex)).toEqual([])
        await dropSessionsTable(knex, options)
      })
    },
    databases.filter(({ name }) => name === 'sqlite')
  )
  describeDatabases(
    'it',
    (database) => {
      it('is another database of the server', async () => {
        await using opened = await database.open()
        await using other = await database.open()
        const schemaName = new URL(other.url).pathname.slice(1)
        await usesEveryStatement(storeOn(opened.knex, { schemaName }))
        expect(await tableNames(database, other.knex)).toEqual(['sessions'])
        expect(await tableNames(database, opened.knex)).toEqual([])
      })
    },
    databases.filter(({ name }) => name === 'mysql')
  )
})

/** Statements of each kind, and the answers they should have. */
async function usesEveryStatement(store: KnexSessionStore): Promise<void> {
  await Promise.all(Array.from({ length: 3 }, (_, visitor) => store.set(`visitor ${visitor}`, handMade({ visitor }))))
  const loaded = await Promise.all(Array.from({ length: 3 }, (_, visitor) => store.get(`visitor ${visitor}`)))
  expect(loaded).toEqual([0, 1, 2].map((visitor) => expect.objectContaining({ visitor })))
  for (const session of loaded) Object.assign(session as object, { changed: true })
  await Promise.all(loaded.map((session, visitor) => store.set(`visitor ${visitor}`, session as never)))
  await store.touch('visitor 1', handMade({}, { originalMaxAge: 99_999_999, expires: new Date(Date.now() + 99_999_999) }))
  await store.destroy('visitor 0')
  expect(await store.get('visitor 1')).toMatchObject({ visitor: 1, changed: true })
  expect(await store.length()).toBe(2)
  expect(await store.all()).toHaveLength(2)
  expect(await store.ids()).toHaveLength(2)
  expect(await store.prune()).toBe(0)
  await store.clear()
  expect(await store.length()).toBe(0)
}

/** Cut to what the database can have, at a whole character. */
function cutTo(database: Database, name: string): string {
  const characters = [...name.trimEnd().replace(/^\d\s+/, (start) => `${start.trim()}_`)]
  const fits = () =>
    database.name === 'mysql' ? characters.length <= 64 : database.name === 'sqlite' || Buffer.byteLength(characters.join('')) <= 63
  while (!fits()) characters.pop()
  return characters.join('')
}

async function tableNames(database: Database, knex: Knex): Promise<string[]> {
  const rows =
    database.name === 'sqlite'
      ? await knex.raw("SELECT name FROM sqlite_master WHERE type = 'table'")
      : database.name === 'mysql'
        ? (await knex.raw('SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE()'))[0]
        : (await knex.raw('SELECT tablename AS name FROM pg_tables WHERE schemaname = current_schema()')).rows
  return rows.map(({ name }: { name: string }) => name)
}

async function columnNames(database: Database, knex: Knex, table: string): Promise<string[]> {
  const rows =
    database.name === 'sqlite'
      ? await knex.raw('SELECT name FROM pragma_table_info(?)', [table])
      : database.name === 'mysql'
        ? (
            await knex.raw(
              'SELECT column_name AS name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ?',
              [table]
            )
          )[0]
        : (await knex.raw('SELECT column_name AS name FROM information_schema.columns WHERE table_name = ?', [table])).rows
  return rows.map(({ name }: { name: string }) => name)
}
