import type { SessionData } from 'express-session'
import type { Knex } from 'knex'
import { expect, it } from 'vitest'
import {
  DatabaseError,
  DatabaseUnreachableError,
  KnexSessionStore,
  type KnexSessionStoreOptions,
  ReadOnlyDatabaseError,
  RecordTooLargeError,
  TableMissingError
} from '../../lib'
import { MysqlDialect } from '../../lib/dialects/mysql/mysql-dialect'
import { DEFAULT_COLUMNS } from '../../lib/dialects/table-definition'
import { Database } from '../../lib/knex/database'
import { describeDatabase, type OpenDatabase } from '../support/databases'
import { handMade, openStore } from '../support/stores'
import { afterCreate, connectionOf } from './opened-statements'

const TABLE = { tableName: 'sessions', schemaName: undefined, version: 1, columns: DEFAULT_COLUMNS }
const HOUR = 3_600_000
const MEGABYTE = 1_048_576

const storeOn = (knex: Knex, options: Partial<KnexSessionStoreOptions> = {}) =>
  new KnexSessionStore({ knex, pruneIntervalMs: false, ...options })

/** A further Knex on the database, each of whose connections begins with these statements. */
const after = (database: OpenDatabase, ...statements: string[]) => database.connect({ pool: afterCreate(...statements) })

async function single(knex: Knex, sql: string): Promise<unknown> {
  const [[row]] = await knex.raw(sql)
  return Object.values(row as object)[0]
}

describeDatabase('mysql', 'a server of MariaDB or MySQL', (kind) => {
  it('keeps every character in a database of latin1, over a connection of latin1', async () => {
    await using opened = await openStore(kind)
    const { database } = opened
    await opened.knex.raw('ALTER DATABASE CHARACTER SET latin1')
    const latin1 = database.connect({ connection: connectionOf(database.config, { charset: 'latin1_swedish_ci' }) })
    const ids = ['a', 'A', 'a ', 'ä', 'a\u0308', '😀', '日本', "it's"]
    const text = '😀 日本 ä \u0000 \\ \' " \ud800 €'
    for (const knex of [latin1, opened.knex]) {
      const store = storeOn(knex, { storedId: 'plain', owner: (session) => (session as { owner?: string }).owner })
      await Promise.all(ids.map((id) => store.set(id, handMade({ id, text, owner: `${id}😀` }))))
      expect(await Promise.all(ids.map((id) => store.get(id)))).toMatchObject(ids.map((id) => ({ id, text })))
      expect(new Set(await store.ids())).toEqual(new Set(ids))
      expect(new Set((await store.all()).map((session) => (session as { id?: string }).id))).toEqual(new Set(ids))
    }
    expect(await storeOn(latin1, { storedId: 'plain', prefix: 'ä😀:' }).length()).toBe(0)
    const prefixed = storeOn(latin1, { storedId: 'plain', prefix: 'ä😀:' })
    await prefixed.set('b', handMade({ b: 1 }))
    expect(await prefixed.ids()).toEqual(['b'])
    expect(await single(opened.knex, 'SELECT count(*) FROM sessions WHERE owner_id IS NULL')).toBe(1)
  })

  it('takes what max_allowed_packet allows, and names it for what is larger; others go on', async () => {
    await using opened = await openStore(kind)
    const limit = Number(await single(opened.knex, 'SELECT @@max_allowed_packet'))
    const session = (bytes: number) => handMade({ text: 'x'.repeat(bytes) })
    const [large, small, other] = await Promise.allSettled([
      opened.store.set('large', session(Math.max(17 * MEGABYTE, limit))),
      opened.store.set('small', session(10)),
      opened.store.set('other', session(2 * MEGABYTE))
    ])
    expect([small, other]).toMatchObject([{ status: 'fulfilled' }, { status: 'fulfilled' }])
    expect(large).toMatchObject({ status: 'rejected', reason: expect.any(RecordTooLargeError) })
    expect(large).toMatchObject({ reason: { message: expect.stringMatching(/max_allowed_packet/), driverCode: 'ER_NET_PACKET_TOO_LARGE' } })
    const fits = Math.floor(limit / 2) - 100_000
    const accepted = Math.min(fits, 17 * MEGABYTE)
    await opened.store.set('accepted', session(accepted))
    expect(await opened.store.get('accepted')).toMatchObject({ text: expect.toSatisfy((text: string) => text.length === accepted) })
  })

  it.each(['+13:00', '-12:00', 'SYSTEM'])('tells the time alike in the time zone %s', async (zone) => {
    await using opened = await openStore(kind)
    const knex = after(opened.database, `SET time_zone = '${zone}'`)
    const store = storeOn(knex, { clock: () => Date.now() - HOUR })
    // Ended 20 and 5 minutes ago: pruned are those that ended 10 minutes ago.
    await store.set('old', handMade({}, { originalMaxAge: null, expires: new Date(Date.now() - 20 * 60_000) }))
    await store.set('young', handMade({}, { originalMaxAge: null, expires: new Date(Date.now() - 5 * 60_000) }))
    expect(await store.length()).toBe(2)
    expect(await storeOn(knex).prune()).toBe(1)
    expect(await store.length()).toBe(1)
  })

  it('tells the time to the millisecond in an hour that comes twice, or is left out, in its time zone', async (context) => {
    await using opened = await openStore(kind)
    const zone = 'America/New_York'
    const known = await single(opened.knex, `SELECT CONVERT_TZ('2026-07-01', 'UTC', '${zone}')`)
    if (known === null) return context.skip(`the server knows no time zones by name (mysql_tzinfo_to_sql)`)
    await opened.store.ready()
    // 1:30 for the first and for the second time, and the moment at which 2:00 is 3:00.
    for (const moment of ['2026-11-01T05:30:00.123Z', '2026-11-01T06:30:00.123Z', '2026-03-08T07:00:00.001Z']) {
      const ms = Date.parse(moment)
      const knex = after(opened.database, `SET time_zone = '${zone}'`, `SET timestamp = ${ms / 1000}`)
      const dialect = new MysqlDialect()
      const id = `lease-${moment}`
      expect(await dialect.statements(TABLE).claim(Database.of(knex, 10_000), id, 5000)).toBe(true)
      expect(Number(await single(opened.knex, `SELECT created_at FROM sessions WHERE id = '${id}'`))).toBe(ms + 5000)
    }
  })

  it('is told from one that is read-only', async () => {
    await using opened = await openStore(kind)
    await opened.store.set('a', handMade({ a: 1 }))
    const store = storeOn(after(opened.database, 'SET SESSION TRANSACTION READ ONLY'))
    expect(await store.get('a')).toMatchObject({ a: 1 })
    for (const write of [() => store.set('a', handMade()), () => store.destroy('a'), () => store.prune()]) {
      await expect(write()).rejects.toThrow(ReadOnlyDatabaseError)
    }
    const missing = storeOn(after(opened.database, 'SET SESSION TRANSACTION READ ONLY'), { tableName: 'missing' })
    await expect(missing.get('a')).rejects.toThrow(ReadOnlyDatabaseError)
  })

  it('that gives up a statement for a locked row is asked again until the time of the caller is up', async () => {
    await using opened = await openStore(kind)
    const store = storeOn(after(opened.database, 'SET SESSION innodb_lock_wait_timeout = 1'), { timeoutMs: 2500 })
    await store.set('a', handMade({ a: 1 }))
    const holder = await opened.knex.transaction()
    try {
      await holder.raw('SELECT * FROM sessions FOR UPDATE')
      const waits = store.set('a', handMade({ a: 2 }))
      waits.catch(() => undefined)
      await expect(waits).rejects.toMatchObject({ code: 'ERR_SESSION_TIMEOUT', outcome: 'not-written' })
      const succeeds = store.set('a', handMade({ a: 3 }))
      await holder.rollback()
      await succeeds
    } finally {
      if (!holder.isCompleted()) await holder.rollback()
    }
    expect(await store.get('a')).toMatchObject({ a: 3 })
  })

  it('reads, and so locks, no rows but those that a statement is for', async () => {
    await using opened = await openStore(kind, {}, { knex: { pool: { min: 0, max: 1 } } })
    const { store, knex } = opened
    await Promise.all(Array.from({ length: 500 }, (_, index) => store.set(`s${index}`, handMade({ index }))))
    await knex.raw('ANALYZE TABLE sessions')
    const db = Database.of(knex, 10_000)
    const statements = new MysqlDialect().statements(TABLE)
    const now = Date.now()
    const read = async (work?: unknown) => {
      await work
      const [rows] = await knex.raw("SHOW SESSION STATUS LIKE 'Handler_read%'")
      await knex.raw('FLUSH STATUS')
      return (rows as { Value: string }[]).reduce((sum, { Value }) => sum + Number(Value), 0)
    }
    await read()
    // Counting is a statement that reads, too.
    const counting = await read()
    const all = (await knex('sessions').select('id')).map(({ id }) => String(id))
    for (const count of [1, 2, 16, 64]) {
      const ids = all.slice(0, count)
      const touches = ids.map((id) => ({ id, expiresAt: now + HOUR }))
      const updates = touches.map((touch) => ({
        ...touch,
        revision: 1,
        data: 'changed',
        ownerId: null,
        isExpiryExact: true,
        createdAt: null
      }))
      const work: Record<string, () => unknown> = {
        load: () => statements.load(db, ids),
        touch: () => statements.touch(db, touches, now),
        update: () => statements.update(db, updates, now),
        // Now they are at another revision.
        updateMissed: () => statements.updateWithLife(db, updates, now),
        putUnlessDead: () =>
          statements.putUnlessDead(
            db,
            updates.map((update) => ({ ...update, createdAt: now })),
            now
          ),
        remove: () => statements.remove(db, ids, 1)
      }
      for (const [name, start] of Object.entries(work)) {
        await knex.raw('FLUSH STATUS')
        const rows = (await read(start())) - counting
        expect({ name, count, rows, isFew: rows <= 5 * count + 5 }).toMatchObject({ isFew: true })
      }
      await knex('sessions')
        .whereIn('id', ids)
        .update({ revision: 1, expires_at: now + HOUR })
    }
  })

  it('that ends a connection is asked over another', async () => {
    await using opened = await openStore(kind, {}, { knex: { pool: { min: 0, max: 1 } } })
    await opened.store.set('a', handMade({ a: 1 }))
    const connection = await single(opened.knex, 'SELECT CONNECTION_ID()')
    await opened.database.connect().raw(`KILL ${Number(connection)}`)
    expect(await opened.store.get('a')).toMatchObject({ a: 1 })
  })

  it('keeps its connections when some of many sessions were changed by another process', async () => {
    await using opened = await openStore(kind)
    const warnings: unknown[] = []
    const knex = opened.database.connect({ log: { warn: (message: unknown) => warnings.push(message) } })
    const [store, other] = [storeOn(knex), storeOn(opened.knex)]
    const ids = Array.from({ length: 8 }, (_, index) => `s${index}`)
    await Promise.all(ids.map((id) => store.set(id, handMade({ id }))))
    const change = async (changed: KnexSessionStore, id: string, key: string) => {
      const session = (await changed.get(id)) as SessionData
      return () => changed.set(id, Object.assign(session, { [key]: 1 }))
    }
    const here = await Promise.all(ids.map((id) => change(store, id, 'here')))
    for (const id of ids.slice(4)) await (await change(other, id, 'there'))()
    await Promise.all(here.map((set) => set()))
    expect(await Promise.all(ids.map((id) => store.get(id)))).toMatchObject(
      ids.map((id, index) => (index < 4 ? { id, here: 1 } : { id, here: 1, there: 1 }))
    )
    expect(warnings).toEqual([])
  })

  it('that cannot be reached is told from others', async () => {
    await using opened = await openStore(kind)
    const { database } = opened
    const nowhere = database.connect({ connection: connectionOf(database.config, { port: 1 }) })
    await expect(storeOn(nowhere).get('a')).rejects.toThrow(DatabaseUnreachableError)
    const stranger = database.connect({ connection: connectionOf(database.config, { user: 'kss_nobody', password: 'x' }) })
    const refused = storeOn(stranger).get('a')
    await expect(refused).rejects.toThrow(DatabaseError)
    await expect(refused).rejects.toThrow(/the connection could not be made: the password is wrong or missing/)
    await expect(storeOn(opened.knex, { schemaName: 'kss_no_such_schema' }).get('a')).rejects.toThrow(
      /does not exist and its schema "kss_no_such_schema" does not exist either/
    )
  })

  it('shows in a transaction what it holds now to who would write over it, not what it held at the beginning', async () => {
    await using opened = await openStore(kind)
    await opened.store.set('a', handMade({ before: 1 }))
    const loaded = await opened.store.get('a')
    await opened.knex.transaction(async (trx) => {
      const within = opened.store.withTransaction(trx)
      // From here on the transaction reads from a snapshot.
      expect(await within.get('a')).toMatchObject({ before: 1 })
      const other = await opened.store.get('a')
      await opened.store.set('a', Object.assign(other ?? {}, { theirs: 2 }) as never)
      await within.set('a', Object.assign(loaded ?? {}, { ours: 3 }) as never)
    })
    expect(await opened.store.get('a')).toMatchObject({ before: 1, theirs: 2, ours: 3 })
  })

  it('lets who put sessions over others, many at once, write them again, unless somebody else has', async () => {
    await using opened = await openStore(kind, { conflict: 'error' })
    const { store } = opened
    const ids = Array.from({ length: 20 }, (_, index) => `s${index}`)
    await Promise.all(ids.map((id) => store.set(id, handMade({ before: 1 }))))
    const sessions = ids.map(() => handMade({ put: 1 }))
    await Promise.all(ids.map((id, index) => store.set(id, sessions[index] as never)))
    await Promise.all(ids.map((id, index) => store.set(id, Object.assign(sessions[index] ?? {}, { again: 2 }) as never)))
    expect(await store.get('s7')).toMatchObject({ put: 1, again: 2 })
    const others = ids.map(() => handMade({ put: 2 }))
    await Promise.all(ids.map((id, index) => store.set(id, others[index] as never)))
    const loaded = await store.get('s7')
    await opened.another().set('s7', Object.assign(loaded ?? {}, { theirs: 3 }) as never)
    const answers = await Promise.allSettled(
      ids.map((id, index) => store.set(id, Object.assign(others[index] ?? {}, { ours: 4 }) as never))
    )
    expect(answers.map(({ status }) => status)).toEqual(ids.map((id) => (id === 's7' ? 'rejected' : 'fulfilled')))
    expect(await store.get('s7')).toMatchObject({ put: 2, theirs: 3 })
    expect(await store.get('s8')).toMatchObject({ put: 2, ours: 4 })
  })

  it('does not commit the transaction of a store that finds its table missing', async () => {
    await using opened = await openStore(kind)
    await opened.knex.schema.createTable('things', (table) => table.integer('id'))
    const trx = await opened.knex.transaction()
    await trx('things').insert({ id: 1 })
    const outcome = await storeOn(trx)
      .set('a', handMade())
      .catch((error) => error)
    if (outcome !== undefined) expect(outcome).toBeInstanceOf(TableMissingError)
    await trx.rollback()
    expect(await opened.knex('things')).toEqual([])
  })
})

const dialect = new MysqlDialect()

it.each([
  ['a Galera node that is not in the cluster', { errno: 1047, code: 'ER_UNKNOWN_COM_ERROR' }, 'unreachable'],
  ['too many connections', { errno: 1040, code: 'ER_CON_COUNT_ERROR' }, 'unreachable'],
  ['a killed connection', { errno: 1927, code: 'ER_CONNECTION_KILLED' }, 'unreachable'],
  ['a connection the server closed', { code: 'PROTOCOL_CONNECTION_LOST', fatal: true }, 'unreachable'],
  ['a connection refused', { errno: -111, code: 'ECONNREFUSED' }, 'unreachable'],
  ["the driver's own error", { message: "Can't add new command when connection is in closed state" }, 'unreachable'],
  ['a deadlock', { errno: 1213, code: 'ER_LOCK_DEADLOCK' }, 'transient'],
  ['a commit that a Galera cluster has refused', { errno: 1180, code: 'ER_ERROR_DURING_COMMIT' }, 'transient'],
  ['a row that changed since the snapshot', { errno: 1020, code: 'ER_CHECKREAD' }, 'transient'],
  ['--read-only', { errno: 1290, code: 'ER_OPTION_PREVENTS_STATEMENT' }, 'read-only'],
  ['a number newer than the driver', { errno: 4031, code: 'UNKNOWN_CODE_PLEASE_REPORT' }, 'unreachable'],
  ['anything else', { errno: 1064, code: 'ER_PARSE_ERROR' }, 'other']
])('MySQL: %s is recognised by its number', (_what, error, diagnosis) => {
  expect(dialect.diagnose(error)).toBe(diagnosis)
})

it.each([
  ['x'.repeat(65), /at most 64 characters/],
  ['table ', /does not end with a space/],
  ['😀', /beyond U\+FFFF/]
])('MySQL: the name %j is refused', (name, why) => {
  expect(dialect.refusal(name)).toMatch(why)
})
