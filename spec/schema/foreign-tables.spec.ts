import { join } from 'node:path'
import type { Knex } from 'knex'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createSessionsTable, dropSessionsTable, ForeignTableError, KnexSessionStore, migrationsDirectory } from '../../lib'
import { DEFAULT_COLUMNS } from '../../lib/dialects/table-definition'
import { type DatabaseName, describeDatabases, type OpenDatabase } from '../support/databases'
import { handMade } from '../support/stores'
import { MAKERS } from './foreign-makers'

const packaged = require(join(migrationsDirectory, '20261122000000_create_sessions_table.js')) as Knex.Migration

interface Case {
  /** Types that differ from those of this package, by the key of the column. */
  readonly types?: Partial<Record<string, string>>
  /** Columns that an application has added. */
  readonly extra?: readonly string[]
  readonly primaryKey?: string
  /** What follows the columns. */
  readonly end?: string
  /** Statements before, and after in which ?? is the table. */
  readonly before?: readonly string[]
  readonly after?: readonly string[]
}

/** The table as this package makes it, but for what the case says. */
function tableSql(database: DatabaseName, tableName: string, { types = {}, extra = [], primaryKey = 'id', end = '' }: Case): string {
  const text = database === 'mysql' ? 'longtext' : 'text'
  const byKey: Record<string, string> = {
    id: 'varchar(255) NOT NULL',
    data: `${text} NOT NULL`,
    ownerId: 'varchar(255) NULL',
    expiresHour: 'integer NOT NULL',
    revision: 'integer NOT NULL'
  }
  const columns = Object.entries(DEFAULT_COLUMNS).map(([key, name]) => `${name} ${types[key] ?? byKey[key] ?? 'bigint NOT NULL'}`)
  const key = primaryKey === '' ? [] : [`PRIMARY KEY (${primaryKey})`]
  return `CREATE TABLE ${tableName} (${[...columns, ...extra, ...key].join(', ')}) ${end}`
}

type Refused = [title: string, wrong: Case, message: string]
type Accepted = [title: string, given: Case]

const column = (name: string, type: string, needed: string) => `its column ${name} has the type ${type}, but must be ${needed}`
const LARGE = 'text without a limit'
const MOMENT = 'a bigint (64 bits)'
const NUMBER = 'an integer of at least 32 bits'
const NAME = 'text of at least 255 characters'
const REQUIRED = 'its column tenant_id is NOT NULL and has no default'

const wrong = (key: keyof typeof DEFAULT_COLUMNS, type: string, shown: string, needed: string): Refused => [
  `whose ${DEFAULT_COLUMNS[key]} is ${type}`,
  { types: { [key]: `${type} NOT NULL` } },
  column(DEFAULT_COLUMNS[key], shown, needed)
]

const REQUIRED_CASE: Refused = ['with a required column of the application', { extra: ['tenant_id integer NOT NULL'] }, REQUIRED]
const NO_KEY: Refused = ['without a unique key', { primaryKey: '' }, 'its column id has no primary key or unique key of its own']
const KEY_OF_TWO: Refused = [
  'with a key of two columns',
  { primaryKey: 'id, revision' },
  'its column id has no primary key or unique key of its own'
]
const OWNER_NEEDED: Refused = [
  'whose owner_id is NOT NULL',
  { types: { ownerId: 'varchar(255) NOT NULL' } },
  'its column owner_id is NOT NULL'
]
const inOtherKey = (column: string) => `its column ${column} is in a unique key without id`
const ONE_FOR_EACH_OWNER: Refused = [
  'with a unique index of its owners',
  { after: ['CREATE UNIQUE INDEX one_session_each ON ?? (owner_id)'] },
  inOtherKey('owner_id')
]
const KEY_BY_TENANT: Refused = [
  'with a unique index of its owners and a column of the application',
  { extra: ['tenant_id integer NOT NULL DEFAULT 1'], after: ['CREATE UNIQUE INDEX one_for_each_tenant ON ?? (tenant_id, owner_id)'] },
  inOtherKey('owner_id')
]

const REFUSED: Partial<Record<DatabaseName, Refused[]>> = {
  postgres: [
    wrong('data', 'jsonb', 'jsonb', `${LARGE} (a JSON column rewrites`),
    wrong('data', 'json', 'json', LARGE),
    wrong('data', 'varchar(255)', 'character varying(255)', LARGE),
    wrong('data', 'bytea', 'bytea', LARGE),
    wrong('expiresAt', 'timestamptz', 'timestamp with time zone', MOMENT),
    wrong('expiresAt', 'integer', 'integer', MOMENT),
    wrong('expiresAt', 'text', 'text', MOMENT),
    wrong('createdAt', 'timestamp', 'timestamp without time zone', MOMENT),
    wrong('createdAt', 'double precision', 'double precision', MOMENT),
    wrong('expiresHour', 'smallint', 'smallint', NUMBER),
    wrong('revision', 'text', 'text', NUMBER),
    wrong('id', 'uuid', 'uuid', NAME),
    wrong('id', 'varchar(32)', 'character varying(32)', NAME),
    // Gives back ids filled up with spaces.
    wrong('id', 'char(255)', 'character(255)', NAME),
    ['whose owner_id is integer', { types: { ownerId: 'integer NULL' } }, column('owner_id', 'integer', NAME)],
    ['whose owner_id is varchar(36)', { types: { ownerId: 'varchar(36) NULL' } }, column('owner_id', 'character varying(36)', NAME)],
    [
      'whose expires_hour is generated',
      { types: { expiresHour: 'bigint GENERATED ALWAYS AS (expires_at / 3600000) STORED' } },
      column('expires_hour', 'bigint generated always', NUMBER)
    ],
    [
      'whose key may be deferred',
      { primaryKey: '', extra: ['UNIQUE (id) DEFERRABLE'] },
      'its column id has no primary key or unique key of its own'
    ],
    [
      'with a partial unique index',
      { primaryKey: '', after: ['CREATE UNIQUE INDEX ON ?? (id) WHERE revision > 1'] },
      'its column id has no primary key or unique key of its own'
    ],
    [
      'with a partial unique index of its owners',
      { after: ['CREATE UNIQUE INDEX ON ?? (owner_id) WHERE expires_at > 0'] },
      inOtherKey('owner_id')
    ],
    ONE_FOR_EACH_OWNER,
    KEY_BY_TENANT,
    REQUIRED_CASE,
    NO_KEY,
    KEY_OF_TWO,
    OWNER_NEEDED
  ],
  mysql: [
    wrong('data', 'text', 'text', LARGE),
    wrong('data', 'varchar(255)', 'varchar(255)', LARGE),
    wrong('data', 'longblob', 'longblob', LARGE),
    wrong('expiresAt', 'datetime', 'datetime', MOMENT),
    wrong('expiresAt', 'int unsigned', 'int unsigned', MOMENT),
    wrong('createdAt', 'double', 'double', MOMENT),
    wrong('expiresHour', 'smallint', 'smallint', NUMBER),
    wrong('revision', 'varchar(20)', 'varchar(20)', NUMBER),
    wrong('id', 'varchar(128)', 'varchar(128)', NAME),
    wrong('id', 'varbinary(255)', 'varbinary(255)', NAME),
    ['whose owner_id is int', { types: { ownerId: 'int NULL' } }, column('owner_id', 'int', NAME)],
    ['whose owner_id is char(36)', { types: { ownerId: 'char(36) NULL' } }, column('owner_id', 'char(36)', NAME)],
    ONE_FOR_EACH_OWNER,
    REQUIRED_CASE,
    NO_KEY,
    KEY_OF_TWO,
    OWNER_NEEDED
  ],
  sqlite: [
    wrong('data', 'json', 'json', `${LARGE} (a JSON column rewrites`),
    wrong('data', 'blob', 'blob', LARGE),
    wrong('expiresAt', 'datetime', 'datetime', MOMENT),
    wrong('expiresAt', 'text', 'text', MOMENT),
    wrong('createdAt', 'real', 'real', MOMENT),
    wrong('revision', 'text', 'text', NUMBER),
    wrong('id', 'integer', 'integer', NAME),
    ['whose owner_id is integer', { types: { ownerId: 'integer NULL' } }, column('owner_id', 'integer', NAME)],
    [
      'with a partial unique index',
      { primaryKey: '', after: ['CREATE UNIQUE INDEX partial_unique ON ?? (id) WHERE revision > 1'] },
      'its column id has no primary key or unique key of its own'
    ],
    ONE_FOR_EACH_OWNER,
    KEY_BY_TENANT,
    REQUIRED_CASE,
    ['without rowid', { end: 'WITHOUT ROWID' }, 'it is WITHOUT ROWID'],
    NO_KEY,
    KEY_OF_TWO,
    OWNER_NEEDED
  ]
}

const EXTRA: Accepted = [
  'with columns of the application that have a default or may be null',
  { extra: ['note varchar(20) NULL', 'tenant_id integer NOT NULL DEFAULT 1'] }
]

const KEY_WITH_ID: Accepted = [
  'with a further unique index that contains the id',
  { after: ['CREATE UNIQUE INDEX id_and_owner ON ?? (owner_id, id)'] }
]

const ACCEPTED: Partial<Record<DatabaseName, Accepted[]>> = {
  postgres: [
    EXTRA,
    KEY_WITH_ID,
    ['of wider columns', { types: { id: 'text NOT NULL', data: 'varchar NOT NULL', expiresHour: 'bigint NOT NULL', ownerId: 'text' } }],
    [
      'of a domain',
      { before: ['DROP DOMAIN IF EXISTS session_text', 'CREATE DOMAIN session_text AS text'], types: { data: 'session_text NOT NULL' } }
    ],
    ['with identities', { extra: ['number bigint GENERATED BY DEFAULT AS IDENTITY', 'serial serial'] }],
    ['with a unique index for its key', { primaryKey: '', after: ['CREATE UNIQUE INDEX ON ?? (id)'] }],
    [
      'in partitions',
      { end: 'PARTITION BY HASH (id)', after: ['CREATE TABLE the_part PARTITION OF ?? FOR VALUES WITH (MODULUS 1, REMAINDER 0)'] }
    ],
    ['without a write-ahead log', { after: ['ALTER TABLE ?? SET UNLOGGED'] }]
  ],
  mysql: [
    EXTRA,
    KEY_WITH_ID,
    [
      'of wider columns',
      { types: { id: 'varchar(300) NOT NULL', data: 'mediumtext NOT NULL', expiresHour: 'bigint NOT NULL', ownerId: 'text' } }
    ],
    ['of unsigned numbers', { types: { expiresAt: 'bigint unsigned NOT NULL', revision: 'int unsigned NOT NULL' } }],
    ['of columns in capitals', { types: {}, after: ['ALTER TABLE ?? CHANGE id ID varchar(255) NOT NULL'] }],
    [
      'with a number of each row',
      { extra: ['number bigint NOT NULL AUTO_INCREMENT UNIQUE', 'at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP'] }
    ],
    [
      'with a unique key besides the primary key',
      { primaryKey: 'number', extra: ['number bigint NOT NULL AUTO_INCREMENT', 'UNIQUE (id)'] }
    ],
    ['in partitions', { end: 'PARTITION BY KEY (id) PARTITIONS 3' }],
    ['of another character set', { end: 'DEFAULT CHARACTER SET latin1' }]
  ],
  sqlite: [
    EXTRA,
    KEY_WITH_ID,
    ['of columns without types', { types: Object.fromEntries(Object.keys(DEFAULT_COLUMNS).map((key) => [key, ''])) }],
    ['of columns in capitals', { types: {}, after: ['ALTER TABLE ?? RENAME COLUMN id TO ID'] }],
    ['with a number of each row', { primaryKey: 'number', extra: ['number integer NOT NULL', 'UNIQUE (id)'] }]
  ]
}

describeDatabases('a table of that name that is not ours', (database) => {
  let opened: OpenDatabase
  let tables = 0
  const warnings: string[] = []
  beforeAll(async () => {
    opened = await database.open()
  })
  afterAll(async () => {
    await opened[Symbol.asyncDispose]()
  })
  const name = () => `sessions_${++tables}`

  async function make(given: Case): Promise<string> {
    const tableName = name()
    for (const sql of given.before ?? []) await opened.knex.raw(sql)
    await opened.knex.raw(tableSql(database.name, tableName, given))
    for (const sql of given.after ?? []) await opened.knex.raw(sql.replace('??', tableName))
    return tableName
  }

  /** Runs the packaged migration, on a Knex whose userParams name the table. */
  function migration(tableName: string) {
    warnings.length = 0
    const log = { warn: (message: string) => warnings.push(message) }
    const knex = opened.connect({ userParams: { sessionsTable: { tableName } }, log } as Knex.Config)
    return {
      up: () => knex.transaction(async (trx) => packaged.up(trx)),
      down: () => knex.transaction(async (trx) => packaged.down?.(trx))
    }
  }

  /** Every way in which this package could touch the table. Each has to refuse, and say the same. */
  async function refuse(tableName: string, message: string): Promise<void> {
    const { knex } = opened
    await using store = closing(new KnexSessionStore({ knex, tableName, pruneIntervalMs: false }))
    const ways: Record<string, () => Promise<unknown>> = {
      'ready()': () => store.ready(),
      'get()': () => store.get('a'),
      'set()': () => store.set('a', handMade()),
      'prune()': () => store.prune(),
      'clear()': () => store.clear(),
      createSessionsTable: () => createSessionsTable(knex, { tableName }),
      dropSessionsTable: () => dropSessionsTable(knex, { tableName })
    }
    for (const [way, call] of Object.entries(ways)) {
      const error = await call().then(
        () => 'no error',
        (reason) => reason
      )
      expect(error, way).toBeInstanceOf(ForeignTableError)
      expect(error.message, way).toContain(message)
      expect(error.message, way).toMatch(/tableName.*rename/)
    }
    expect(await store.health()).toMatchObject({ ok: false, error: { message: expect.stringContaining(message) } })
    const { up, down } = migration(tableName)
    await expect(up(), 'up').rejects.toThrow(message)
    await expect(up(), 'up').rejects.toThrow(/tableName.*rename/)
    await down()
    expect(warnings.join('\n'), 'down').toContain(message)
  }

  describe.each(Object.entries(MAKERS[database.name] ?? {}))('as %s makes it', (_maker, { make: makeTheirs, message }) => {
    it('is refused with a word on whose it is, and stays whole with its rows', async () => {
      const tableName = name()
      await using made = await makeTheirs(opened, tableName)
      const rows = await opened.knex(tableName).select()
      expect(rows).toHaveLength(1)
      await refuse(tableName, message)
      expect(await opened.knex(tableName).select()).toEqual(rows)
      await made.check()
    })

    it('is out of the way once it is renamed', async () => {
      const tableName = name()
      await using made = await makeTheirs(opened, tableName)
      const { up, down } = migration(tableName)
      await expect(up()).rejects.toThrow(message)
      await opened.knex.schema.renameTable(tableName, `${tableName}_old`)
      await up()
      await using store = closing(new KnexSessionStore({ knex: opened.knex, tableName, pruneIntervalMs: false }))
      await store.set('a', handMade({ user: 'ada' }))
      expect(await store.get('a')).toMatchObject({ user: 'ada' })
      await down()
      expect(warnings).toEqual([])
      expect(await opened.knex.schema.hasTable(tableName)).toBe(false)
      await opened.knex.schema.renameTable(`${tableName}_old`, tableName)
      await made.check()
    })

    it('is refused by the missing columns that were added to it: theirs are required', async () => {
      const tableName = name()
      await using made = await makeTheirs(opened, tableName)
      const theirs = Object.keys(await opened.knex(tableName).columnInfo())
      const ours = Object.entries(DEFAULT_COLUMNS).filter(([, column]) => !theirs.includes(column))
      const types = tableSql(database.name, '', {}).slice(15).split(', ')
      for (const [, column] of ours) {
        const type = types.find((text) => text.startsWith(`${column} `)) as string
        await opened.knex.raw(`ALTER TABLE ${tableName} ADD COLUMN ${type.replace(' NOT NULL', ' NULL')}`)
      }
      const rows = await opened.knex(tableName).select()
      await refuse(tableName, 'the table')
      expect(await opened.knex(tableName).select()).toEqual(rows)
      await made.check()
    })
  })

  it.each(REFUSED[database.name] ?? [])('%s is refused, and what is wrong is named', async (_title, given, message) => {
    const tableName = await make(given)
    await refuse(tableName, message)
    expect(await opened.knex.schema.hasTable(tableName)).toBe(true)
  })

  const dropped = (ACCEPTED[database.name] ?? []).flatMap(([title, given]) => {
    return (['dropSessionsTable', 'the packaged migration'] as const).map((drop) => [title, drop, given] as const)
  })
  it.each(dropped)('is ours %s: it is used, and dropped by %s', async (_title, drop, given) => {
    const tableName = await make(given)
    const { knex } = opened
    await createSessionsTable(knex, { tableName })
    await migration(tableName).up()
    await using store = closing(new KnexSessionStore({ knex, tableName, createTable: false, pruneIntervalMs: false, owner: () => 'ada' }))
    await store.set('a', handMade({ user: 'ada' }))
    await store.set('b', handMade())
    await store.touch('a', handMade({ user: 'ada' }))
    await store.destroy('b')
    expect(await store.get('a')).toMatchObject({ user: 'ada' })
    expect(await store.length()).toBe(1)
    expect(await store.health()).toMatchObject({ ok: true })
    expect(await store.prune()).toBe(0)
    if (drop === 'dropSessionsTable') await dropSessionsTable(knex, { tableName })
    else await migration(tableName).down()
    expect(warnings).toEqual([])
    expect(await knex.schema.hasTable(tableName)).toBe(false)
  })

  it('of which every wrong column is named', async () => {
    const tableName = await make({ types: { data: 'integer', revision: 'varchar(10)' } })
    const error = await createSessionsTable(opened.knex, { tableName }).catch((reason) => reason)
    expect(error).toMatchObject({ missingColumns: [], wrongColumns: [{ name: 'data' }, { name: 'revision' }] })
  })

  it.each(['get', 'set', 'touch'] as const)(
    'that lost a column while the store was in use is named by %s, and used again once it has it',
    async (call) => {
      const tableName = await make({})
      const { knex } = opened
      await using store = closing(new KnexSessionStore({ knex, tableName, pruneIntervalMs: false, touchAfterMs: 0, owner: () => 'ada' }))
      const session = handMade({ user: 'ada' })
      await store.set('a', session)
      const calls = {
        get: () => store.get('a'),
        set: () => store.set('a', handMade({ user: 'grace' })),
        touch: () => store.touch('a', session)
      }
      const column = call === 'touch' ? 'last_seen_at' : 'owner_id'
      await knex.raw(`ALTER TABLE ${tableName} RENAME COLUMN ${column} TO other`)
      for (let times = 0; times < 2; times++) {
        const error = await calls[call]().catch((reason) => reason)
        expect(error).toBeInstanceOf(ForeignTableError)
        expect(error).toMatchObject({ missingColumns: [column] })
      }
      await knex.raw(`ALTER TABLE ${tableName} RENAME COLUMN other TO ${column}`)
      await calls[call]()
      expect(await store.get('a')).toMatchObject({ user: call === 'set' ? 'grace' : 'ada' })
    }
  )

  // Each database has one of these that it tells of; on MariaDB and MySQL an INSERT takes the row of the other key for its own.
  const added: Record<string, [sql: string, undo: string, message: string]> = {
    'a required column': [
      'ALTER TABLE ?? ADD COLUMN tenant_id integer NOT NULL',
      'ALTER TABLE ?? DROP COLUMN tenant_id',
      'its column tenant_id is NOT NULL and has no default'
    ],
    'a unique index': ['CREATE UNIQUE INDEX one_each ON ?? (owner_id)', 'DROP INDEX one_each', inOtherKey('owner_id')]
  }
  it.each(database.name === 'sqlite' ? ['a unique index'] : database.name === 'mysql' ? ['a required column'] : Object.keys(added))(
    'that got %s while the store was in use is refused once it refuses a row, and used again without it',
    async (what) => {
      const [sql, undo, message] = added[what] as [string, string, string]
      const tableName = await make({})
      const { knex } = opened
      await using store = closing(new KnexSessionStore({ knex, tableName, pruneIntervalMs: false, owner: () => 'ada' }))
      if (what === 'a unique index') await store.set('a', handMade({ user: 'ada' }))
      await knex.raw(sql.replace('??', tableName))
      await expect(store.set('b', handMade({ user: 'ada' }))).rejects.toThrow(message)
      await expect(store.set('b', handMade({ user: 'ada' }))).rejects.toBeInstanceOf(ForeignTableError)
      await knex.raw(undo.replace('??', tableName))
      await store.set('b', handMade({ user: 'ada' }))
      expect(await store.get('b')).toMatchObject({ user: 'ada' })
    }
  )

  it('whose own constraint refuses some sessions says so, and goes on with the others', async () => {
    const tableName = await make({ extra: ["CHECK (data NOT LIKE '%grace%')"] })
    const { knex } = opened
    await using store = closing(new KnexSessionStore({ knex, tableName, pruneIntervalMs: false }))
    const [refused] = await Promise.allSettled([store.set('a', handMade({ user: 'grace' })), store.set('b', handMade({ user: 'ada' }))])
    expect(refused).toMatchObject({ status: 'rejected', reason: { code: 'ERR_SESSION_DATABASE' } })
    expect(String((refused as PromiseRejectedResult).reason.message)).toContain('a constraint, a unique index or a trigger that was added')
    expect(await store.get('a')).toBeNull()
    expect(await store.get('b')).toMatchObject({ user: 'ada' })
  })

  it('to which a foreign key of the application refers: sessions are pruned only if it lets them be, and the error says so', async () => {
    const tableName = await make({})
    const { knex } = opened
    const errors: Error[] = []
    await using store = closing(
      new KnexSessionStore({
        knex,
        tableName,
        pruneIntervalMs: false,
        clock: () => Date.now() - 10 * 86_400_000,
        onError: (error) => errors.push(error)
      })
    )
    await store.set('a', handMade())
    const [{ id }] = await knex(tableName).select('id')
    if (database.name === 'sqlite') await knex.raw('PRAGMA foreign_keys = ON')
    await knex.raw(`CREATE TABLE ${tableName}_devices (session varchar(255) REFERENCES ${tableName} (id))`)
    await knex(`${tableName}_devices`).insert({ session: id })
    await using later = closing(new KnexSessionStore({ knex, tableName, pruneIntervalMs: false }))
    await expect(later.prune()).rejects.toThrow('a foreign key that refers to it, refuses this')
    await knex(`${tableName}_devices`).del()
    expect(await later.prune()).toBe(1)
    await knex.schema.dropTable(`${tableName}_devices`)
  })

  it('that took the name of a table in use is refused and stays whole', async () => {
    const tableName = name()
    const { knex } = opened
    await using store = closing(new KnexSessionStore({ knex, tableName, pruneIntervalMs: false }))
    await store.set('a', handMade())
    await knex.schema.dropTable(tableName)
    await knex.schema.createTable(tableName, (table) => {
      table.string('id').primary()
      table.text('data')
    })
    for (const failing of [store.get('a'), store.set('a', handMade())]) await expect(failing).rejects.toBeInstanceOf(ForeignTableError)
    expect(await knex(tableName).select()).toEqual([])
    await knex.schema.dropTable(tableName)
    await store.set('b', handMade({ user: 'ada' }))
    expect(await store.get('b')).toMatchObject({ user: 'ada' })
  })

  if (database.name !== 'mysql') {
    it('that is a view is refused, also where it shows all columns', async () => {
      const tableName = await make({})
      await opened.knex.raw(`CREATE VIEW ${tableName}_view AS SELECT * FROM ${tableName}`)
      await refuse(`${tableName}_view`, 'it is a view')
    })
  } else {
    it('that is a view is not dropped', async () => {
      const tableName = `${await make({})}_view`
      await opened.knex.raw(`CREATE VIEW ${tableName} AS SELECT * FROM ${tableName.replace('_view', '')}`)
      const error = await dropSessionsTable(opened.knex, { tableName }).catch((reason) => reason)
      expect(error).toBeInstanceOf(ForeignTableError)
      expect(error.message).toContain('it is a view')
      const { up, down } = migration(tableName)
      await expect(up()).rejects.toThrow('it is a view')
      await down()
      expect(warnings.join('\n')).toContain('it is a view')
      expect(await opened.knex(tableName).select()).toEqual([])
    })
  }

  if (database.name === 'postgres') {
    it('that is a materialised view or a foreign table is refused', async () => {
      const tableName = await make({})
      await opened.knex.raw(`CREATE MATERIALIZED VIEW ${tableName}_view AS SELECT * FROM ${tableName}`)
      await refuse(`${tableName}_view`, 'it is a materialized view')
    })

    it('is found on the search_path, and the error says in which schema', async () => {
      const { knex } = opened
      await knex.raw('CREATE SCHEMA app')
      await knex.raw('CREATE TABLE web_sessions (sid varchar PRIMARY KEY, sess json NOT NULL, expire timestamp NOT NULL)')
      const onPath = opened.connect({ searchPath: ['app', 'public'] })
      const error = await createSessionsTable(onPath, { tableName: 'web_sessions' }).catch((reason) => reason)
      expect(error.message).toContain('found in the schema "public"')
      await createSessionsTable(onPath, { tableName: 'web_sessions', schemaName: 'app' })
      await createSessionsTable(onPath, { tableName: 'web_sessions' })
      await dropSessionsTable(onPath, { tableName: 'web_sessions' })
      await expect(dropSessionsTable(onPath, { tableName: 'web_sessions' })).rejects.toBeInstanceOf(ForeignTableError)
      expect(await knex('web_sessions').select()).toEqual([])
    })
  }

  if (database.name !== 'cockroach') {
    it('that is temporary is refused on its own connection, and neither it nor the table below is dropped there', async () => {
      const tableName = await make({})
      const knex = opened.connect({ pool: { min: 1, max: 1 } })
      await knex.raw(`CREATE TEMPORARY TABLE ${tableName} (sid varchar(20) PRIMARY KEY)`)
      await expect(createSessionsTable(knex, { tableName })).rejects.toBeInstanceOf(ForeignTableError)
      await expect(dropSessionsTable(knex, { tableName })).rejects.toBeInstanceOf(ForeignTableError)
      expect(await knex(tableName).select('sid')).toEqual([])
      expect(await opened.knex(tableName).select('revision')).toEqual([])
    })
  }
})

function closing(store: KnexSessionStore): KnexSessionStore & AsyncDisposable {
  return Object.assign(store, { [Symbol.asyncDispose]: () => store.close() })
}
