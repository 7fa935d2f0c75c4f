import createKnex, { type Knex } from 'knex'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { KnexSessionStore, ReadOnlyDatabaseError } from '../../lib'
import { driverOf } from '../../lib/dialects/dialect'
import { MysqlDialect } from '../../lib/dialects/mysql/mysql-dialect'
import { PostgresDialect } from '../../lib/dialects/postgres/postgres-dialect'
import { Database } from '../../lib/knex/database'
import { PoolHealth } from '../../lib/knex/pool-health'
import { describeDatabase, describeDatabases, type Database as Kind, databases as kinds } from '../support/databases'
import type { LocalServer } from '../support/local-server'
import { PATIENT } from '../support/patience'
import { startPostgres } from '../support/postgres-server'
import { handMade, openStore } from '../support/stores'

const servers = kinds.filter(({ name }) => name === 'postgres' || name === 'mysql')

const READ_ONLY: Readonly<Record<string, string>> = {
  postgres: 'SET default_transaction_read_only = on',
  mysql: 'SET SESSION TRANSACTION READ ONLY'
}

/** Sends a statement on the driver's own connection, as the application's `afterCreate` does. */
function send(connection: unknown, sql: string): Promise<void> {
  return new Promise((resolve, reject) => {
    ;(connection as { query(sql: string, done: (error: unknown) => void): void }).query(sql, (error) => (error ? reject(error) : resolve()))
  })
}

/** A Knex whose server takes no writes at first, as that to which connections lead that were made before a failover. */
async function openPrimary(kind: Kind) {
  const state = { isPrimary: false, made: 0 }
  const afterCreate = (connection: unknown, done: (error: unknown, connection: unknown) => void) => {
    state.made++
    const ready = state.isPrimary ? Promise.resolve() : send(connection, READ_ONLY[kind.name] as string)
    ready.then(
      () => done(null, connection),
      (error) => done(error, connection)
    )
  }
  const database = await kind.open()
  const knex = database.connect({ pool: { min: 0, max: 10, afterCreate } })
  const opened = await openStore(database, { knex, tableName: 'failing_over', maxConnections: 10 })
  await openStore(database, { tableName: 'failing_over' }).then(({ store }) => store.ready())
  return {
    ...opened,
    state,
    async [Symbol.asyncDispose]() {
      await opened[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
    }
  }
}

/** Makes the pool hold so many connections that all lie idle. */
async function fill(knex: Knex, count: number): Promise<void> {
  const { client } = knex
  const connections = await Promise.all(Array.from({ length: count }, () => client.acquireConnection()))
  for (const connection of connections) await client.releaseConnection(connection)
}

describeDatabases(
  'after a failover, connections to the server that now is read-only',
  (kind) => {
    it('are left, all ten of them, and no call sees them', async () => {
      await using opened = await openPrimary(kind)
      const { store, knex, state } = opened
      await fill(knex, 10)
      state.isPrimary = true
      for (let index = 0; index < 5; index++) await store.set(`alone ${index}`, handMade({ index }))
      await Promise.all(Array.from({ length: 40 }, (_, index) => store.set(`s${index}`, handMade({ index }))))
      const loaded = await Promise.all(Array.from({ length: 40 }, (_, index) => store.get(`s${index}`)))
      // Changes of what was loaded, many at once, go in a statement that is a transaction of its own where the database needs one.
      await Promise.all(
        loaded.map((session, index) => store.set(`s${index}`, Object.assign(session as object, { changed: index }) as never))
      )
      expect(await store.get('s7')).toMatchObject({ index: 7, changed: 7 })
      expect(await store.health()).toMatchObject({ ok: true })
    })

    it('are left by what changes many sessions at once', async () => {
      await using opened = await openPrimary(kind)
      const { store, knex, state, database } = opened
      const writer = await openStore(database, { tableName: 'failing_over' })
      await Promise.all(Array.from({ length: 30 }, (_, index) => writer.store.set(`s${index}`, handMade({ index }))))
      await fill(knex, 6)
      const loaded = await Promise.all(Array.from({ length: 30 }, (_, index) => store.get(`s${index}`)))
      state.isPrimary = true
      await Promise.all(
        loaded.map((session, index) => store.set(`s${index}`, Object.assign(session as object, { changed: index }) as never))
      )
      expect(await store.get('s7')).toMatchObject({ index: 7, changed: 7 })
    })

    it('are not connected to again and again where every server is read-only', async () => {
      await using opened = await openPrimary(kind)
      const { store, knex, state } = opened
      await fill(knex, 4)
      const before = state.made
      for (let index = 0; index < 50; index++) {
        await expect(store.set(`s${index}`, handMade())).rejects.toThrow(ReadOnlyDatabaseError)
      }
      expect(state.made - before).toBeLessThanOrEqual(10)
      expect(await store.get('s')).toBeNull()
    })

    it('make health() say that the store cannot write, and why', async () => {
      await using opened = await openPrimary(kind)
      const { store, state } = opened
      const health = await store.health()
      expect(health).toMatchObject({ ok: false, error: { code: 'ERR_SESSION_READ_ONLY' } })
      expect(health.error).toBeInstanceOf(ReadOnlyDatabaseError)
      state.isPrimary = true
      await vi.waitUntil(async () => (await store.health()).ok, PATIENT)
    })
  },
  servers
)

describeDatabase('postgres', 'a transaction that the application has begun as read-only', (kind) => {
  it('says nothing of the server', async () => {
    await using opened = await openStore(kind, {}, { knex: { pool: { min: 0, max: 1 } } })
    const { store, knex } = opened
    const pid = async () => (await knex.raw('SELECT pg_backend_pid() AS pid')).rows[0].pid
    await store.set('a', handMade({ user: 'ada' }))
    const before = await pid()
    const refused = knex.transaction((trx) => store.withTransaction(trx).set('a', handMade()), { readOnly: true })
    await expect(refused).rejects.toThrow(ReadOnlyDatabaseError)
    expect(await pid()).toBe(before)
  })

  it('is not aborted by health(), which only reads there', async () => {
    await using opened = await openStore(kind)
    const { store, knex } = opened
    await store.set('a', handMade({ user: 'ada' }))
    const inside = async (trx: Knex.Transaction) => {
      expect(await store.withTransaction(trx).health()).toMatchObject({ ok: true })
      expect(await store.withTransaction(trx).get('a')).toMatchObject({ user: 'ada' })
    }
    await knex.transaction(inside, { readOnly: true })
  })
})

describeDatabase('postgres', 'a FATAL error', () => {
  let server: LocalServer
  beforeAll(async () => {
    // A version that has the setting with which an ordinary statement ends its connection.
    server = await startPostgres(['embedded'])
  })
  afterAll(() => server.stop())

  it.each<[string, (store: KnexSessionStore) => Promise<unknown>]>([
    ['set', (store) => store.set('a', handMade({ user: 'bob' }))],
    ['get', (store) => store.get('a')],
    ['destroy', (store) => store.destroy('a')],
    ['all', (store) => store.all()],
    ['ids', (store) => store.ids()],
    ['length', (store) => store.length()],
    ['clear', (store) => store.clear()],
    ['prune', (store) => store.prune()]
  ])('costs the connection, and not the call, which goes over another one: %s', async (_name, call) => {
    const admin = createKnex({ client: 'pg', connection: server.url, pool: { min: 0, max: 1 } })
    const knex = createKnex({ client: 'pg', connection: `${server.url}?options=-c%20transaction_timeout=1500`, pool: { min: 0, max: 1 } })
    const store = new KnexSessionStore({ knex, pruneIntervalMs: false })
    // Made over the other Knex, whose transactions may take as long as they like.
    await new KnexSessionStore({ knex: admin, pruneIntervalMs: false }).set('a', handMade({ user: 'ada' }))
    await store.ready()
    const connection = await knex.client.acquireConnection()
    await knex.client.releaseConnection(connection)
    const ended: unknown[] = []
    connection.on('error', ({ severity, code }: { severity?: string; code?: string }) => ended.push([severity, code]))
    knex.on('query-error', ({ severity, code }: { severity?: string; code?: string }) => ended.push([severity, code]))
    const lock = await admin.transaction()
    await lock.raw('LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE')
    const waiting = call(store)
    await vi.waitUntil(() => ended.length > 0, PATIENT)
    await lock.rollback()
    await waiting
    expect(ended[0]).toEqual(['FATAL', '25P04'])
    await knex.destroy()
    await admin.destroy()
  })
})

describe('which errors mean that the connection is gone', () => {
  const postgres = new PostgresDialect({ prepare: true, durability: 'all' })
  const mysql = new MysqlDialect()

  it.each([
    ['FATAL', 'XX000', 'unreachable'],
    ['PANIC', '58030', 'unreachable'],
    ['FATAL', '57P05', 'unreachable'],
    // The words of another language: then the class has to tell.
    ['ВАЖНО', '57P05', 'unreachable'],
    ['ERROR', '08006', 'unreachable'],
    ['ERROR', 'XX000', 'other'],
    ['ERROR', '57014', 'ended'],
    // While connecting: another connection is refused as well.
    ['FATAL', '28P01', 'other'],
    ['FATAL', '28000', 'other'],
    ['FATAL', '42501', 'denied'],
    ['FATAL', '53300', 'unreachable']
  ])('on PostgreSQL, %s %s: %s', (severity, code, diagnosis) => {
    expect(postgres.diagnose(Object.assign(new Error('of the driver'), { severity, code }))).toBe(diagnosis)
  })

  it.each([
    [{ fatal: true, code: 'HANDSHAKE_NO_SSL_SUPPORT' }, 'unreachable'],
    [{ fatal: true, errno: 9999, code: 'ER_OF_TOMORROW' }, 'unreachable'],
    [{ errno: 9999, code: 'ER_OF_TOMORROW', sqlState: '08S01' }, 'unreachable'],
    [{ errno: 3100, code: 'ER_RUN_HOOK_ERROR', sqlState: 'HY000' }, 'unreachable'],
    [{ errno: 3781, code: 'ER_GR_HOLD_WAIT_TIMEOUT', sqlState: 'HY000' }, 'unreachable'],
    [{ errno: 3796, code: 'ER_GRP_TRX_CONSISTENCY_NOT_ALLOWED', sqlState: 'HY000' }, 'unreachable'],
    [{ errno: 3797, code: 'ER_GRP_TRX_CONSISTENCY_BEFORE', sqlState: 'HY000' }, 'unreachable'],
    [{ errno: 3101, code: 'ER_TRANSACTION_ROLLBACK_DURING_COMMIT', sqlState: '40000' }, 'transient'],
    [{ errno: 1836, code: 'ER_READ_ONLY_MODE', sqlState: 'HY000' }, 'read-only'],
    [{ errno: 1047, code: 'ER_UNKNOWN_COM_ERROR', sqlState: '08S01' }, 'unreachable'],
    [{ errno: 1290, code: 'ER_OPTION_PREVENTS_STATEMENT', sqlState: 'HY000' }, 'read-only'],
    [{ errno: 9999, code: 'ER_OF_TOMORROW', sqlState: 'HY000' }, 'other'],
    [{ errno: 1153, code: 'ER_NET_PACKET_TOO_LARGE', sqlState: '08S01', fatal: true }, 'too-large'],
    // While connecting: another connection is refused as well.
    [{ errno: 1045, code: 'ER_ACCESS_DENIED_ERROR', sqlState: '28000', fatal: true }, 'denied'],
    [{ errno: 1251, code: 'ER_NOT_SUPPORTED_AUTH_MODE', sqlState: '08004', fatal: true }, 'other']
  ])('on MariaDB and MySQL, %o: %s', (error, diagnosis) => {
    expect(mysql.diagnose(Object.assign(new Error('of the driver'), error))).toBe(diagnosis)
  })
})

describe('a connection that is the database', () => {
  it('is not dropped after an error that would tell of a lost one, nor after one of being read-only', async () => {
    const knex = createKnex({ client: 'better-sqlite3', connection: { filename: ':memory:' }, useNullAsDefault: true })
    await knex.raw('CREATE TABLE kept (n)')
    for (const verdict of ['lost', 'read-only'] as const) {
      const failing = Database.of(knex, 1000, { judge: () => verdict }).use(() => Promise.reject(new Error('of the driver')))
      await expect(failing).rejects.toThrow('of the driver')
    }
    expect(await knex('kept')).toEqual([])
    await knex.destroy()
  })
})

describeDatabase('postgres', 'the only connection of a pool that the application brought', (kind) => {
  it('is not dropped after a time-out', async () => {
    await using database = await kind.open()
    const { pool } = database.connect({ pool: { min: 0, max: 1 } }).client
    const knex = createKnex({ client: 'pg', connectionPool: pool } as Knex.Config)
    const pid = async () => (await knex.raw('SELECT pg_backend_pid() AS pid')).rows[0].pid
    const before = await pid()
    const own = Database.of(knex, 100, driverOf(new PostgresDialect({ prepare: true, durability: 'all' })))
    await expect(own.run('SELECT pg_sleep(0.3)')).rejects.toMatchObject({ code: 'ERR_SESSION_TIMEOUT' })
    expect(await pid()).toBe(before)
    await knex.destroy()
  })
})

describe('the health of a pool', () => {
  it('is known to the transactions on it', async () => {
    const knex = createKnex({ client: 'better-sqlite3', connection: { filename: ':memory:' }, useNullAsDefault: true })
    await knex.transaction(async (trx) => expect(PoolHealth.of(trx.client)).toBe(PoolHealth.of(knex.client)))
    await knex.destroy()
  })
})
