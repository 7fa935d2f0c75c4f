import { createRequire } from 'node:module'
import type { SessionData } from 'express-session'
import createKnex, { type Knex } from 'knex'
import { describe, expect, it } from 'vitest'
import { createSessionsTable, dropSessionsTable, KnexSessionStore } from '../lib'
import type { DatabaseName, OpenDatabase } from './support/databases'
import { describeStores, handMade, openStore, type StoreOptions, shareDatabase } from './support/stores'

const snakeCase = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
const camelCase = (name: string) => name.replace(/_([a-z])/g, (_all, letter: string) => letter.toUpperCase())

function deep(value: unknown, change: (object: Record<string, unknown>) => Record<string, unknown>): unknown {
  if (Array.isArray(value)) return value.map((item) => deep(item, change))
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value
  return change(Object.fromEntries(Object.entries(value).map(([key, item]) => [key, deep(item, change)])))
}

/** What an application may have set its Knex to, for its own sake. */
const SETTINGS: readonly { what: string; on?: DatabaseName; knex: Knex.Config; prepare?: (knex: Knex) => Promise<unknown> }[] = [
  { what: 'wraps identifiers in capitals', knex: { wrapIdentifier: (name, wrap) => wrap(name.toUpperCase()) } },
  { what: 'wraps identifiers in snake case', knex: { wrapIdentifier: (name, wrap) => wrap(snakeCase(name)) } },
  { what: 'does not quote identifiers', knex: { wrapIdentifier: (name) => name } },
  {
    what: 'makes every name in a result camel case',
    knex: {
      postProcessResponse: (result) =>
        deep(result, (row) => Object.fromEntries(Object.entries(row).map(([key, value]) => [camelCase(key), value])))
    }
  },
  { what: 'freezes every result, deep down', knex: { postProcessResponse: (result) => deep(result, Object.freeze) } },
  {
    what: 'throws at every result',
    knex: {
      postProcessResponse: () => {
        throw new TypeError('not for the store')
      }
    }
  },
  { what: 'drops every result', knex: { postProcessResponse: () => undefined } },
  { what: 'keeps async stack traces', knex: { asyncStackTraces: true } },
  { what: 'has a pool of one', knex: { pool: { min: 0, max: 1 } } },
  { what: 'keeps connections', knex: { pool: { min: 1, max: 2 } } },
  {
    what: 'logs elsewhere',
    knex: { log: { warn: () => undefined, error: () => undefined, debug: () => undefined, deprecate: () => undefined } }
  },
  {
    what: 'has a search path',
    on: 'postgres',
    knex: { searchPath: ['its own', 'public'] },
    prepare: (knex) => knex.raw('CREATE SCHEMA IF NOT EXISTS "its own"')
  },
  {
    what: 'sets how a connection behaves',
    on: 'postgres',
    knex: {
      pool: {
        min: 0,
        max: 2,
        afterCreate: (
          connection: { query(sql: string, done: (error: unknown) => void): void },
          done: (error: unknown, connection: unknown) => void
        ) => {
          connection.query(
            "SET standard_conforming_strings = off; SET backslash_quote = on; SET DateStyle = 'German'; SET client_encoding = 'UTF8'",
            (error) => done(error, connection)
          )
        }
      }
    }
  },
  {
    what: 'reads safe integers',
    on: 'sqlite',
    knex: {
      pool: {
        min: 0,
        max: 1,
        afterCreate: (connection: { defaultSafeIntegers(on: boolean): void }, done: (error: null, connection: unknown) => void) => {
          connection.defaultSafeIntegers(true)
          done(null, connection)
        }
      }
    }
  }
]

/** Settings of a driver, which are part of the connection. */
const CONNECTIONS: readonly { what: string; on: DatabaseName; connection: (given: Knex.Config['connection']) => object }[] = [
  {
    what: 'reads bigint as BigInt, and integers as texts',
    on: 'postgres',
    connection: (given) => ({
      connectionString: given,
      types: { getTypeParser: (oid: number) => (oid === 20 ? BigInt : oid === 23 ? String : (text: string) => text) }
    })
  },
  {
    what: 'reads large numbers as texts',
    on: 'mysql',
    connection: (given) => ({ uri: given, supportBigNumbers: true, bigNumberStrings: true, decimalNumbers: true, dateStrings: true })
  },
  { what: 'reads large numbers as numbers', on: 'mysql', connection: (given) => ({ uri: given, supportBigNumbers: false }) }
]

const DATA = { camelCase: 1, snake_case: 2, CAPITALS: 3, nested: { innerKey: [{ deepKey: 1, deep_key: 2 }] }, '': 4 }

/** All that a store can do, on a table of that name. */
async function everything(database: OpenDatabase, knex: Knex, options: StoreOptions = {}): Promise<void> {
  await using opened = await openStore(database, {
    knex,
    storedId: 'plain',
    prefix: 'p:',
    columns: { ownerId: 'ownedBy' },
    owner: () => 'ada',
    ...options
  })
  const { store, tableName } = opened
  const dataOf = (session: SessionData | null) => {
    const { cookie: _cookie, ...data } = session ?? ({} as SessionData)
    return data
  }
  await Promise.all(['a', 'b', 'c'].map((id) => store.set(id, handMade(DATA))))
  const loaded = (await store.get('a')) as SessionData & { camelCase: number }
  expect(dataOf(loaded)).toEqual(DATA)
  loaded.camelCase = 5
  await store.set('a', loaded)
  await store.touch('a', loaded)
  await store.touch('b', handMade())
  await store.destroy('c')
  expect(dataOf(await store.get('a'))).toEqual({ ...DATA, camelCase: 5 })
  expect(await store.get('c')).toBeNull()
  expect(await store.ids()).toEqual(['a', 'b'])
  expect((await store.all()).map(dataOf)).toEqual([{ ...DATA, camelCase: 5 }, DATA])
  expect(await store.length()).toBe(2)
  await knex.transaction((trx) => store.withTransaction(trx).set('d', handMade(DATA)))
  expect(dataOf(await store.get('d'))).toEqual(DATA)
  expect(await store.prune()).toBe(0)
  expect(await store.health()).toMatchObject({ ok: true })
  await store.clear()
  expect(await store.length()).toBe(0)
  const columns = { ownerId: 'ownedBy' }
  await createSessionsTable(knex, { tableName, columns })
  await dropSessionsTable(knex, { tableName, columns })
  await createSessionsTable(knex, { tableName, columns })
  await store.set('a', handMade(DATA))
  expect(dataOf(await store.get('a'))).toEqual(DATA)
}

describeStores('the store works, and session data keeps its keys, on a Knex that', (kind) => {
  const database = shareDatabase(kind)

  for (const { what, knex: settings, prepare } of SETTINGS.filter(({ on }) => on === undefined || on === kind.name)) {
    it(what, async () => {
      await prepare?.(database().knex)
      const knex = database().connect(settings)
      await everything(database(), knex)
    })
  }

  for (const { what, connection } of CONNECTIONS.filter(({ on }) => on === kind.name)) {
    it(what, async () => {
      const given = database().config.connection
      const knex = database().connect({ connection: connection(given) as Knex.StaticConnectionConfig })
      await everything(database(), knex)
    })
  }

  it('is given its connection by a function', async () => {
    const { connection } = database().config
    await everything(
      database(),
      database().connect({
        connection: () =>
          (typeof connection === 'string' ? { connectionString: connection, uri: connection } : connection) as Knex.StaticConnectionConfig
      })
    )
  })

  it('sends every call in a statement of its own', () => everything(database(), database().knex, { batch: false }))

  it('cannot use prepared statements', () => everything(database(), database().knex, { prepare: false }))

  if (kind.name === 'sqlite') {
    // The npm package sqlite3 has to be compiled; this is Knex's own client by another name, for which there is no direct way.
    it('has a driver that is only spoken to through Knex', async () => {
      const Direct = createRequire(__filename)('knex/lib/dialects/better-sqlite3') as typeof Knex.Client
      class Through extends Direct {}
      // As Knex does: what is set by the constructor alone is not seen inside a transaction.
      Object.assign(Through.prototype, { driverName: 'sqlite3' })
      const knex = database().connect({ client: Through })
      // Of the sets below, which share a transaction. The direct way begins it IMMEDIATE.
      const begun = new Set<string>()
      knex.on('query', ({ sql }) => /^BEGIN/.test(sql) && begun.add(sql))
      await everything(database(), knex)
      const ids = Array.from({ length: 20 }, (_, number) => `${number}`)
      await using opened = await openStore(database(), { knex })
      await Promise.all(ids.map((id) => opened.store.set(id, handMade({ id }))))
      expect((await Promise.all(ids.map((id) => opened.store.get(id)))).map((found) => found !== null)).toEqual(ids.map(() => true))
      expect([...begun]).toEqual(['BEGIN;'])
    })
  }

  it('is destroyed and initialised again', async () => {
    const knex = database().connect()
    await using opened = await openStore(database(), { knex })
    await opened.store.set('id', handMade({ user: 'ada' }))
    await knex.destroy()
    await expect(opened.store.get('id')).rejects.toMatchObject({ code: 'ERR_SESSION_DATABASE_UNREACHABLE' })
    await knex.initialize()
    expect(await opened.store.get('id')).toMatchObject({ user: 'ada' })
  })
})

describe('the settings of the application', () => {
  it('hold for its own queries as before', async () => {
    const knex = createKnex({
      client: 'better-sqlite3',
      connection: { filename: ':memory:' },
      useNullAsDefault: true,
      postProcessResponse: (result) => ({ processed: result })
    })
    await using store = new KnexSessionStore({ knex, pruneIntervalMs: false })
    await store.set('id', handMade())
    expect(await knex.raw('SELECT 1 AS one')).toEqual({ processed: [{ one: 1 }] })
    await store.close()
    await knex.destroy()
  })
})
