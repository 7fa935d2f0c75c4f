import type { Knex } from 'knex'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DatabaseError, KnexSessionStore, ReadOnlyDatabaseError, TableMissingError } from '../../lib'
import { databaseNamed, describeDatabase, type OpenDatabase } from '../support/databases'
import type { LocalServer } from '../support/local-server'
import { findPgbouncer, GET_PGBOUNCER, type Pgbouncer, startPgbouncer } from '../support/pgbouncer'
import { findPostgresBinaries, GET_POSTGRES, startStandby } from '../support/postgres-standby'
import { handMade, openStore } from '../support/stores'

const range = (length: number) => Array.from({ length }, (_, index) => index)

/** Writes, reads, renews and ends sessions, many at once. */
async function useWell(store: KnexSessionStore): Promise<void> {
  await Promise.all(range(100).map((index) => store.set(`s${index}`, handMade({ index }))))
  const loaded = await Promise.all(range(100).map((index) => store.get(`s${index}`)))
  expect(loaded.map((session) => (session as { index?: number } | null)?.index)).toEqual(range(100))
  await Promise.all(
    loaded.map(async (session, index) => {
      if (session === null) return
      Object.assign(session, { changed: index })
      await store.set(`s${index}`, session)
      await store.touch(`s${index}`, session)
    })
  )
  await Promise.all(range(50).map((index) => store.destroy(`s${index}`)))
  expect(await store.length()).toBe(50)
  expect(await store.get('s7')).toBeNull()
  expect(await store.get('s77')).toMatchObject({ index: 77, changed: 77 })
  expect(await store.prune()).toBe(0)
  await store.clear()
  expect(await store.ids()).toEqual([])
}

describe('PostgreSQL behind pgbouncer in transaction mode', async () => {
  const program = await findPgbouncer()
  const postgres = databaseNamed('postgres')
  if (program === undefined || !postgres.available) {
    it.skip(`skipped: ${postgres.available ? `there is no pgbouncer here: ${GET_PGBOUNCER}` : postgres.skipReason}`)
    return
  }
  let database: OpenDatabase
  let pgbouncer: Pgbouncer
  beforeAll(async () => {
    database = await postgres.open()
    pgbouncer = await startPgbouncer(program, database.url)
  })
  afterAll(async () => {
    await database[Symbol.asyncDispose]()
    await pgbouncer.stop()
  })
  const open = (options: object) => {
    const knex = database.connect({ connection: pgbouncer.url, pool: { min: 0, max: 10 } })
    return new KnexSessionStore({ knex, pruneIntervalMs: false, maxConnections: 10, ...options })
  }

  it('works with prepare: false, from several pools at once', async () => {
    await Promise.all(range(3).map((index) => useWell(open({ prepare: false, tableName: `unprepared_${index}` }))))
  })

  it('makes the table there', async () => {
    const store = open({ prepare: false, tableName: 'made_behind' })
    await store.set('a', handMade())
    expect(await database.knex.schema.hasTable('made_behind')).toBe(true)
  })

  it('works with prepared statements if pgbouncer knows them, and else each call works or says what to do', async () => {
    const stores = range(4).map(() => open({ tableName: 'prepared' }))
    const ids = stores.flatMap((store, each) => range(50).map((index) => ({ store, id: `${each}-${index}` })))
    const uses = await Promise.allSettled(ids.map(({ store, id }) => store.set(id, handMade({ id }))))
    const failures = uses.filter((use) => use.status === 'rejected').map(({ reason }) => reason)
    if (pgbouncer.knowsPreparedStatements) expect(failures).toEqual([])
    // What was acknowledged is there. An older one fails now and then only: what it forgets is prepared anew a few times.
    const reader = open({ tableName: 'prepared', prepare: false })
    for (const [index, { id }] of ids.entries()) {
      if (uses[index]?.status === 'fulfilled') expect(await reader.get(id)).toMatchObject({ id })
    }
    for (const failure of failures) {
      expect(failure).toBeInstanceOf(DatabaseError)
      expect(failure.message).toMatch(/give the store the option prepare: false \(driver code (26000|42P05)\)/)
    }
  })
})

describe('a standby of PostgreSQL', async () => {
  const bin = await findPostgresBinaries()
  const postgres = databaseNamed('postgres')
  if (bin === undefined || !postgres.available) {
    it.skip(`skipped: ${postgres.available ? `there are no binaries of PostgreSQL here: ${GET_POSTGRES}` : postgres.skipReason}`)
    return
  }
  let database: OpenDatabase
  let standby: LocalServer
  const id = 'there'
  beforeAll(async () => {
    database = await postgres.open()
    standby = await startStandby(bin, [
      'CREATE TABLE "there" (id varchar(255) COLLATE "C" PRIMARY KEY, data text, expires_at bigint, expires_hour integer, revision integer, owner_id varchar(255), created_at bigint, last_seen_at bigint)',
      `INSERT INTO "there" VALUES ('${id}', '{"cookie":{"originalMaxAge":null},"user":"ada"}', 7000000000000, 1944445, 1, NULL, 0)`
    ])
  })
  afterAll(async () => {
    await database[Symbol.asyncDispose]()
    await standby.stop()
  })
  const open = (options: object) => {
    const knex = database.connect({ connection: standby.url, pool: { min: 0, max: 2 } })
    return new KnexSessionStore({ knex, pruneIntervalMs: false, storedId: 'plain', ...options })
  }

  it('reads sessions, and says of writes that it is read-only', async () => {
    const store = open({ tableName: 'there' })
    const session = await store.get(id)
    expect(session).toMatchObject({ user: 'ada' })
    const writes = [
      () => store.set('new', handMade()),
      () => store.set(id, Object.assign(session ?? {}, { user: 'eve' }) as never),
      () => store.destroy(id),
      () => store.prune()
    ]
    for (const write of writes) {
      await expect(write()).rejects.toThrow(ReadOnlyDatabaseError)
      await expect(write()).rejects.toMatchObject({ code: 'ERR_SESSION_READ_ONLY', driverCode: '25006' })
    }
  })

  it('is not well by health(), which says why, though sessions can be read there', async () => {
    const health = await open({ tableName: 'there' }).health()
    expect(health).toMatchObject({ ok: false, error: { code: 'ERR_SESSION_READ_ONLY', driverCode: '25006' } })
  })

  it('says that it is read-only, and not that the table is missing, where it may make the table', async () => {
    const store = open({ tableName: 'not_there' })
    await expect(store.get(id)).rejects.toThrow(ReadOnlyDatabaseError)
    await expect(store.set(id, handMade())).rejects.toThrow(/read-only .*give the store a Knex of the primary/)
  })

  it('says that the table is missing where it may not make it', async () => {
    await expect(open({ tableName: 'not_there', createTable: false }).get(id)).rejects.toThrow(TableMissingError)
  })
})

describeDatabase('postgres', 'a read-only connection', (kind) => {
  it('is told from a missing table', async () => {
    await using opened = await openStore(kind)
    const readOnly = opened.database.connect({ connection: `${opened.database.url}?options=-c%20default_transaction_read_only=on` })
    const store = new KnexSessionStore({ knex: readOnly, pruneIntervalMs: false })
    await expect(store.set('a', handMade())).rejects.toThrow(ReadOnlyDatabaseError)
    await opened.store.ready()
    await expect(store.set('a', handMade())).rejects.toThrow(ReadOnlyDatabaseError)
    expect(await store.get('a')).toBeNull()
  })
})

describeDatabase('postgres', 'searchPath', (kind) => {
  it('decides where the table is made and found', async () => {
    await using opened = await openStore(kind)
    await opened.knex.raw('CREATE SCHEMA one')
    await opened.knex.raw('CREATE SCHEMA "Two, too"')
    const [one, two] = ['one', ['Two, too', 'public']].map(
      (searchPath) => new KnexSessionStore({ knex: opened.database.connect({ searchPath }), pruneIntervalMs: false })
    ) as [KnexSessionStore, KnexSessionStore]
    await one.set('a', handMade({ of: 'one' }))
    await two.set('a', handMade({ of: 'two' }))
    expect([await one.get('a'), await two.get('a')]).toMatchObject([{ of: 'one' }, { of: 'two' }])
    const { rows } = await opened.knex.raw("SELECT schemaname FROM pg_tables WHERE tablename = 'sessions' ORDER BY 1")
    expect(rows).toEqual([{ schemaname: 'Two, too' }, { schemaname: 'one' }])
    await one.destroy('a')
    await useWell(one)
    expect(await two.length()).toBe(1)
  })

  it('names a path on which a table further on is found', async () => {
    await using opened = await openStore(kind)
    await opened.store.set('a', handMade())
    await opened.knex.raw('CREATE SCHEMA empty')
    const knex = opened.database.connect({ searchPath: ['empty', 'public'] })
    expect(await new KnexSessionStore({ knex, pruneIntervalMs: false }).length()).toBe(1)
  })
})

describeDatabase('postgres', 'the statements', (database) => {
  it('finds sessions by the index of hashes, for one and for many', async () => {
    await using opened = await database.open()
    const { knex } = opened
    const store = new KnexSessionStore({ knex, pruneIntervalMs: false, touchAfterMs: 0 })
    const sessions = range(2000).map((index) => handMade({ index }))
    await Promise.all(sessions.map((session, index) => store.set(`s${index}`, session)))
    await knex.raw('ANALYZE sessions')
    const [{ indexname }] = (
      await knex.raw("SELECT indexname FROM pg_indexes WHERE tablename = 'sessions' AND indexdef LIKE '%USING hash (id)%'")
    ).rows as [{ indexname: string }]
    const sent = new Set<string>()
    knex.on('query', ({ sql }: { sql: string }) => sent.add(sql))
    for (const some of [range(1), range(20)]) {
      const loaded = await Promise.all(some.map((index) => store.get(`s${index}`)))
      await Promise.all(some.map((index) => store.touch(`s${index}`, sessions[index] as never)))
      await Promise.all(loaded.map((session, index) => store.set(`s${index}`, Object.assign(session as never, { changed: true }) as never)))
    }
    // Of get, touch and set, each for one and for many.
    expect(sent.size).toBe(6)
    for (const sql of [...sent]) expect(await planOf(knex, sql), sql).toContain(`Index Scan using ${indexname}`)
  })
})

/** How the server runs a statement whose parameters it does not know. */
async function planOf(knex: Knex, sql: string): Promise<string> {
  return knex.transaction(async (trx) => {
    await trx.raw('SET LOCAL plan_cache_mode = force_generic_plan')
    await trx.raw(`PREPARE probe AS ${sql}`)
    const parameters = new Set(sql.match(/\$\d+/g)).size
    const { rows } = await trx.raw(`EXPLAIN EXECUTE probe(${Array(parameters).fill('NULL').join(', ')})`)
    await trx.raw('DEALLOCATE probe')
    return rows.map((row: object) => Object.values(row)[0]).join('\n')
  })
}
