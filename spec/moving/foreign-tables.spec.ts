import type { SessionData, Store } from 'express-session'
import createKnex, { type Knex } from 'knex'
import { describe, expect, it } from 'vitest'
import { type ImportSessionsOptions, type ImportSource, importSessions, KnexSessionStore } from '../../lib'
import { describeDatabases, type OpenDatabase } from '../support/databases'
import { handMade } from '../support/stores'
import { OTHER_STORES } from './other-stores'

type Data = SessionData & { user?: string; text?: string }

/** Where the other stores of SQLite keep their sessions and the expiry. */
const TABLES = {
  'better-sqlite3-session-store': ['sessions', 'expire'],
  'connect-session-knex': ['old_sessions', 'expired'],
  'connect-sqlite3': ['sqlite3_sessions', 'expired']
} as const

const HOUR = 3_600_000
const json = (data: object) => JSON.stringify(handMade(data))

/** Imports into a table of its own. Stops where it would go on for ever. */
async function imported(knex: Knex, from: ImportSource, more: Partial<ImportSessionsOptions> = {}) {
  const controller = new AbortController()
  const onProgress = (done: number, total: number) => {
    if (done > total) controller.abort()
  }
  const options = { tableName: 'web_sessions', owner: (data: Partial<Data>) => data.user, pruneIntervalMs: false } as const
  const result = await importSessions(knex, { ...options, from, onProgress, signal: controller.signal, ...more })
  const store = new KnexSessionStore({ ...options, knex })
  return {
    result,
    get: async (id: string) => (await store.get(id)) as Data | null,
    expiryOf: async (id: string) => new Date((await store.get(id))?.cookie.expires as Date).getTime(),
    [Symbol.asyncDispose]: () => store.close()
  }
}

/** A Knex as an application configures it, on the same database. */
async function configured(opened: OpenDatabase, connection: object, setting: string) {
  const { hostname, port, username, password, pathname, searchParams } = new URL(opened.url)
  const at = { host: searchParams.get('host') ?? hostname, port: Number(port) || undefined, user: username, password }
  const afterCreate = (
    raw: { query: (sql: string, done: (error?: unknown) => void) => void },
    done: (error: unknown, raw: object) => void
  ) => raw.query(setting, (error) => done(error, raw))
  const knex = createKnex({
    client: opened.config.client as string,
    connection: { ...at, database: pathname.slice(1), ...connection } as Knex.StaticConnectionConfig,
    pool: { min: 0, max: 4, afterCreate }
  })
  return { knex, [Symbol.asyncDispose]: () => knex.destroy() }
}

const otherStore = async (name: string, opened: OpenDatabase, knex = opened.knex) => {
  const other = await OTHER_STORES[name]?.({ knex, url: opened.url, name: opened.name })
  if (other === undefined) throw new RangeError(`${name} does not run here`)
  return other
}
const put = (store: Store, id: string, data: SessionData) =>
  new Promise<void>((resolve, reject) => store.set(id, data, (error) => (error ? reject(error) : resolve())))
const has = (store: Store, id: string) =>
  new Promise<boolean>((resolve, reject) => store.get(id, (error, data) => (error ? reject(error) : resolve(Boolean(data)))))
const livesFor = (ms: number) => handMade({ user: 'ada' }, { originalMaxAge: ms, maxAge: ms, expires: new Date(Date.now() + ms) })

describeDatabases('the tables of other stores', (kind) => {
  if (kind.name === 'mysql')
    describe('in every character set', () => {
      it.each<[type: string, text: string]>([
        ['CHARACTER SET latin1 COLLATE latin1_swedish_ci', 'Zoë'],
        ['CHARACTER SET latin1 COLLATE latin1_bin', 'Zoë'],
        ['CHARACTER SET cp1251 COLLATE cp1251_general_ci', 'Зоя'],
        ['CHARACTER SET sjis COLLATE sjis_japanese_ci', 'ソーイ'],
        ['CHARACTER SET utf8mb3 COLLATE utf8mb3_general_ci', 'Zoë Зоя'],
        ['CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci', 'Zoë 🦉'],
        ['CHARACTER SET utf8mb4 COLLATE /*!80017 utf8mb4_0900_bin *//*M! utf8mb4_nopad_bin */', 'Zoë 🦉'],
        ['CHARACTER SET ucs2 COLLATE ucs2_general_ci', 'Zoë Зоя'],
        ['CHARACTER SET utf16 COLLATE utf16_general_ci', 'Zoë 🦉'],
        ['CHARACTER SET utf16le COLLATE utf16le_bin', 'Zoë 🦉'],
        ['CHARACTER SET utf32 COLLATE utf32_general_ci', 'Zoë 🦉'],
        ['of bytes', 'Zoë 🦉']
      ])('texts %s come out as they were written, page by page', async (type, text) => {
        await using opened = await kind.open()
        const { knex } = opened
        const [id, data] = type === 'of bytes' ? ['VARBINARY(128)', 'MEDIUMBLOB'] : [`VARCHAR(128) ${type}`, `MEDIUMTEXT ${type}`]
        await knex.raw(`CREATE TABLE sessions (session_id ${id} NOT NULL PRIMARY KEY, expires INT UNSIGNED NOT NULL, data ${data})`)
        // Of upper and lower case, in no order, one of them empty, and one with a letter of the character set.
        const ids = ['', 'b', 'A', '-', '_x', 'Z1', 'z2', `x${[...text].at(-1)}`, '0', 'Q', 'r']
        const expires = Math.floor(Date.now() / 1000) + 9000
        await knex('sessions').insert(ids.map((session_id) => ({ session_id, expires, data: json({ user: `of ${session_id}`, text }) })))
        await using here = await imported(knex, 'express-mysql-session', { batchSize: 2 })
        expect(here.result).toEqual({ looked: 11, imported: 11, alreadyThere: 0, ended: 0, unreadable: 0, isStopped: false })
        for (const each of ids) expect(await here.get(each)).toMatchObject({ user: `of ${each}`, text })
      })

      it('a column of ids that cannot be compared is refused, and read no second time', async () => {
        await using opened = await kind.open()
        await opened.knex.raw('CREATE TABLE sessions (session_id FLOAT PRIMARY KEY, expires INT, data TEXT)')
        await opened.knex('sessions').insert([1.1, 2.2, 3.3].map((session_id) => ({ session_id, expires: 2e9, data: json({}) })))
        await expect(imported(opened.knex, 'express-mysql-session', { batchSize: 1 })).rejects.toThrow(
          /fromColumns\.id must be a column of texts/
        )
      })

      it.each<[what: string, connection: object, setting: string]>([
        ['of the driver', { timezone: '+09:00' }, 'DO 1'],
        ['of the connection', { timezone: 'Z', dateStrings: true }, "SET time_zone = '-07:00'"],
        ['of both', { timezone: 'local' }, "SET time_zone = '+12:45', sql_mode = ''"]
      ])('moments without a time zone are right, whatever the time zone %s', async (_what, connection, setting) => {
        await using opened = await kind.open()
        const { knex } = opened
        await using other = await otherStore('connect-session-knex', opened)
        await put(other.store, 'id', livesFor(5 * HOUR))
        await put(other.store, 'expired', livesFor(-1000))
        await using site = await configured(opened, connection, setting)
        await using here = await imported(site.knex, 'connect-session-knex', { fromTable: 'old_sessions' })
        expect(here.result).toMatchObject({ looked: 2, imported: 1, ended: 1 })
        expect(Math.abs((await here.expiryOf('id')) - Date.now() - 5 * HOUR)).toBeLessThan(60_000)
        // A column that somebody has made a TIMESTAMP: the store writes UTC into it all the same.
        await site.knex.raw('ALTER TABLE old_sessions MODIFY expired TIMESTAMP NOT NULL')
        await knex.schema.dropTable('web_sessions')
        const same = await otherStore('connect-session-knex', opened, site.knex)
        await put(same.store, 'id', livesFor(5 * HOUR))
        await using again = await imported(site.knex, 'connect-session-knex', { fromTable: 'old_sessions' })
        expect(Math.abs((await again.expiryOf('id')) - Date.now() - 5 * HOUR)).toBeLessThan(60_000)
      })

      it('rows without a moment at which they expire are counted, and no session there either', async () => {
        await using opened = await kind.open()
        await using site = await configured(opened, {}, "SET sql_mode = ''")
        const { knex } = site
        await using other = await otherStore('connect-session-knex', opened, knex)
        for (const id of ['none', 'zero', 'alive']) await put(other.store, id, livesFor(HOUR))
        await knex.raw('ALTER TABLE old_sessions MODIFY expired DATETIME NULL')
        await knex('old_sessions').where('sid', 'none').update({ expired: null })
        await knex('old_sessions').where('sid', 'zero').update({ expired: '0000-00-00 00:00:00' })
        expect(await Promise.all(['none', 'zero', 'alive'].map((id) => has(other.store, id)))).toEqual([false, false, true])
        await using here = await imported(knex, 'connect-session-knex', { fromTable: 'old_sessions' })
        expect(here.result).toMatchObject({ looked: 3, imported: 1, ended: 0, unreadable: 2 })
        await using seconds = await otherStore('express-mysql-session', opened)
        await put(seconds.store, 'none', livesFor(HOUR))
        await knex.raw('ALTER TABLE sessions MODIFY expires BIGINT NULL')
        await knex('sessions').update({ expires: null })
        await put(seconds.store, 'far', livesFor(HOUR))
        await knex('sessions')
          .where('session_id', 'far')
          .update({ expires: knex.raw('9223372036854775807') })
        expect(await Promise.all(['none', 'far'].map((id) => has(seconds.store, id)))).toEqual([false, true])
        await using other_ = await imported(knex, 'express-mysql-session')
        expect(other_.result).toMatchObject({ looked: 2, imported: 1, ended: 0, unreadable: 1 })
      })
    })

  if (kind.name === 'postgres')
    describe('on PostgreSQL', () => {
      it.each(['timestamp(6)', 'timestamptz'])(
        'moments of the type %s are right, whatever the time zone of Knex and of the server',
        async (type) => {
          await using opened = await kind.open()
          const { knex, url } = opened
          await knex.raw(`ALTER DATABASE ?? SET timezone TO 'America/New_York'`, [new URL(url).pathname.slice(1)])
          await using other = await otherStore('connect-pg-simple', opened)
          await put(other.store, 'id', livesFor(HOUR))
          await knex.raw(`ALTER TABLE session ALTER COLUMN expire TYPE ${type}`)
          await put(other.store, 'id', livesFor(HOUR))
          await put(other.store, 'expired', livesFor(-HOUR))
          expect(await Promise.all(['id', 'expired'].map((id) => has(other.store, id)))).toEqual([true, false])
          for (const zone of ['Asia/Tokyo', 'America/Anchorage', 'UTC']) {
            await using site = await configured(opened, {}, `SET TIME ZONE '${zone}'`)
            await using here = await imported(site.knex, 'connect-pg-simple')
            expect(here.result).toMatchObject({ looked: 2, imported: 1, ended: 1 })
            expect(Math.abs((await here.expiryOf('id')) - Date.now() - HOUR)).toBeLessThan(60_000)
            await site.knex.schema.dropTable('web_sessions')
          }
        }
      )

      it('rows without a moment at which they expire are counted, and no session there either; one without an end lives', async () => {
        await using opened = await kind.open()
        const { knex } = opened
        await using other = await otherStore('connect-pg-simple', opened)
        for (const id of ['none', 'past', 'endless']) await put(other.store, id, livesFor(HOUR))
        await knex.raw('ALTER TABLE session ALTER COLUMN expire DROP NOT NULL')
        await knex('session').where('sid', 'none').update({ expire: null })
        await knex('session').where('sid', 'past').update({ expire: '-infinity' })
        await knex('session').where('sid', 'endless').update({ expire: 'infinity' })
        expect(await Promise.all(['none', 'past', 'endless'].map((id) => has(other.store, id)))).toEqual([false, false, true])
        await using here = await imported(knex, 'connect-pg-simple')
        expect(here.result).toMatchObject({ looked: 3, imported: 1, ended: 1, unreadable: 1 })
      })

      it.each(['json', 'jsonb'])(
        'a session in a column of the type %s, as an object or as a text in JSON, is read as there',
        async (type) => {
          await using opened = await kind.open()
          const { knex } = opened
          await knex.raw(`CREATE TABLE session (sid char(32) COLLATE "C" NOT NULL PRIMARY KEY, sess ${type}, expire timestamptz NOT NULL)`)
          const sessions = {
            object: json({ user: 'ada' }),
            text: JSON.stringify(json({ user: 'ben' })),
            nonsense: JSON.stringify('nonsense'),
            none: null
          }
          for (const [sid, sess] of Object.entries(sessions)) await knex('session').insert({ sid, sess, expire: '2100-01-01' })
          await using here = await imported(knex, 'connect-pg-simple')
          expect(here.result).toMatchObject({ looked: 4, imported: 2, unreadable: 2 })
          expect([await here.get('object'), await here.get('text')]).toMatchObject([{ user: 'ada' }, { user: 'ben' }])
        }
      )

      it.each(['uuid', 'char(40)', 'text COLLATE "C"', 'bytea'])('ids of the type %s are read page by page', async (type) => {
        await using opened = await kind.open()
        const { knex } = opened
        const ids = Array.from({ length: 5 }, (_, number) => `00000000-0000-4000-8000-00000000000${number}`)
        await knex.raw(`CREATE TABLE session (sid ${type} NOT NULL PRIMARY KEY, sess json NOT NULL, expire timestamp(6) NOT NULL)`)
        for (const id of ids) await knex('session').insert({ sid: id, sess: json({ user: id }), expire: '2100-01-01' })
        await using here = await imported(knex, 'connect-pg-simple', { batchSize: 2 })
        expect(here.result).toMatchObject({ looked: 5, imported: 5 })
        if (type !== 'bytea') for (const id of ids) expect(await here.get(id)).toMatchObject({ user: id })
      })
    })

  if (kind.name === 'sqlite')
    describe('on SQLite', () => {
      it.each([1, 500])('ids of every type are imported or counted, %i at a time', async (batchSize) => {
        await using opened = await kind.open()
        const { knex } = opened
        await knex.raw('CREATE TABLE sessions (sid PRIMARY KEY, expired, sess)')
        const values = [
          '7',
          "'7a'",
          '9007199254740993',
          '9007199254740994',
          '-3',
          '1.5',
          '0.1 + 0.2',
          "''",
          "'a' || char(0)",
          "X'6162'",
          'NULL',
          'NULL'
        ]
        for (const value of values) await knex.raw(`INSERT INTO sessions VALUES (${value}, 1e15, ?)`, [json({ text: value })])
        await using here = await imported(knex, 'connect-sqlite3', { batchSize })
        expect(here.result).toMatchObject({ looked: 12, imported: 10, unreadable: 2, isStopped: false })
        for (const id of ['7', '7a', '9007199254740993', '9007199254740994', '-3', '1.5', '', 'a\0', 'ab']) {
          expect(await here.get(id)).not.toBeNull()
        }
      })

      it('of another file are read where it is attached', async () => {
        await using opened = await kind.open()
        await using file = await kind.open()
        await using other = await otherStore('connect-sqlite3', file)
        await put(other.store, 'id', livesFor(HOUR))
        await opened.knex.raw('ATTACH DATABASE ? AS old', [file.url])
        await using here = await imported(opened.knex, 'connect-sqlite3', { fromSchema: 'old', fromTable: 'sqlite3_sessions' })
        expect(here.result).toMatchObject({ looked: 1, imported: 1 })
        expect(await here.get('id')).toMatchObject({ user: 'ada' })
      })

      it('plain ids that cannot be stored are counted', async () => {
        await using opened = await kind.open()
        const { knex } = opened
        await knex.raw('CREATE TABLE sessions (sid PRIMARY KEY, expired, sess)')
        for (const id of ['', 'a:b', 'good']) await knex('sessions').insert({ sid: id, expired: 1e15, sess: json({}) })
        await using here = await imported(knex, 'connect-sqlite3', { storedId: 'plain' })
        expect(here.result).toMatchObject({ looked: 3, imported: 1, unreadable: 2 })
      })

      it.each(['better-sqlite3-session-store', 'connect-session-knex', 'connect-sqlite3'] as const)(
        'rows of %s without a moment at which they expire are counted, and no session there either',
        async (from) => {
          await using opened = await kind.open()
          const { knex } = opened
          const [table, expires] = TABLES[from]
          await knex.raw(
            `CREATE TABLE ${table} (sid varchar(255) PRIMARY KEY, ${from === 'connect-sqlite3' ? `${expires}, sess` : `sess, ${expires}`})`
          )
          await using other = await otherStore(from, opened)
          const bad = from === 'connect-sqlite3' ? [null] : [null, 'nonsense', '', Date.now() + HOUR]
          for (const [index, value] of bad.entries()) await knex(table).insert({ sid: `bad ${index}`, sess: json({}), [expires]: value })
          await put(other.store, 'alive', livesFor(HOUR))
          expect(await Promise.all(bad.map((_, index) => has(other.store, `bad ${index}`)))).toEqual(bad.map(() => false))
          expect(await has(other.store, 'alive')).toBe(true)
          await using here = await imported(knex, from, { fromTable: table })
          expect(here.result).toMatchObject({ looked: bad.length + 1, imported: 1, ended: 0, unreadable: bad.length })
          expect(Math.abs((await here.expiryOf('alive')) - Date.now() - HOUR)).toBeLessThan(60_000)
        }
      )
    })
})
