import pg from 'pg'
import { expect, it } from 'vitest'
import { int4Array, int8Array, textArray } from '../../lib/dialects/postgres/binary-array'
import { PostgresDialect } from '../../lib/dialects/postgres/postgres-dialect'
import { runPrepared } from '../../lib/dialects/postgres/run-prepared'
import { Database } from '../../lib/knex/database'
import { describeDatabase } from '../support/databases'
import { handMade, openStore, shareDatabase } from '../support/stores'

type Query = (...given: unknown[]) => unknown
type Wrap = (query: Query, seen: string[]) => Query
interface Queryable {
  query: Query
}

/** What tools that trace the driver put in the place of `client.query`. */
const WRAPPERS: Readonly<Record<string, Wrap>> = {
  'passes on a copy of the query': (query, seen) =>
    function (this: unknown, given, ...rest) {
      // As Knex asks for the version.
      if (typeof given === 'string') return query.call(this, given, ...rest)
      seen.push((given as { text: string }).text)
      return query.call(this, { ...(given as object), text: `${(given as { text: string }).text} /* traced */` }, ...rest)
    },
  'is asynchronous': (query, seen) =>
    async function (this: unknown, given, ...rest) {
      await new Promise(setImmediate)
      seen.push((given as { text: string }).text)
      return query.call(this, given, ...rest)
    },
  'is asynchronous and passes on a copy': (query, seen) =>
    async function (this: unknown, given, ...rest) {
      await new Promise(setImmediate)
      seen.push((given as { text: string }).text)
      return query.call(this, { ...(given as object) }, ...rest)
    },
  'puts its own callback around the one that it is given': (query, seen) =>
    function (this: unknown, ...given) {
      const callback = given.pop() as (error: unknown, answer: unknown) => void
      return query.call(this, ...given, (error: unknown, answer: unknown) => {
        seen.push((given[0] as { text: string }).text)
        callback(error, answer)
      })
    }
}

async function expectTraced(db: Database, seen: string[]): Promise<void> {
  const sql = 'SELECT id FROM (SELECT unnest($1::text[]) AS id) AS w WHERE id <> $2'
  for (const name of [undefined, 'traced', 'traced']) {
    seen.length = 0
    const answer = await runPrepared(db, { sql, name }, [textArray(['a', 'b', 'c']), 'b'])
    expect(answer).toMatchObject({ rows: [['a'], ['c']], rowCount: 2 })
    expect(seen).toEqual([sql])
    await expect(runPrepared(db, { sql: 'SELECT 1 / $1::int', name: undefined }, ['0'])).rejects.toMatchObject({ code: '22012' })
  }
  const many = Array.from({ length: 20 }, (_, index) => runPrepared(db, { sql: 'SELECT $1::text', name: 'echo' }, [`${index}`]))
  expect((await Promise.all(many)).map(({ rows }) => rows[0]?.[0])).toEqual(Array.from({ length: 20 }, (_, index) => `${index}`))
}

describeDatabase('postgres', 'a statement on the driver itself', (kind) => {
  const database = shareDatabase(kind)
  const db = () => Database.of(database().knex, 10_000)

  it('answers the columns as texts, and how many rows it hit', async () => {
    const answer = await runPrepared(db(), { sql: 'SELECT $1::text, $2::bigint, NULL', name: 'three' }, ['a', '9007199254740991'])
    expect(answer).toEqual({ rows: [['a', '9007199254740991', null]], rowCount: 1 })
    await database().knex.raw('CREATE TABLE numbers (number int)')
    const insert = { sql: 'INSERT INTO numbers SELECT unnest($1::int[])', name: undefined }
    expect((await runPrepared(db(), insert, [int4Array([1, 2, 3])])).rowCount).toBe(3)
    expect((await runPrepared(db(), { sql: 'DELETE FROM numbers WHERE number > $1::int', name: undefined }, ['1'])).rowCount).toBe(2)
    expect(await runPrepared(db(), { sql: 'DELETE FROM numbers WHERE number > $1::int', name: undefined }, ['9'])).toEqual({
      rows: [],
      rowCount: 0
    })
  })

  it('is prepared once on each connection, and not at all without a name', async () => {
    const knex = database().connect({ pool: { min: 1, max: 1 } })
    const own = Database.of(knex, 10_000)
    for (let count = 0; count < 3; count++) await runPrepared(own, { sql: 'SELECT 1', name: 'one' }, [])
    for (let count = 0; count < 3; count++) await runPrepared(own, { sql: 'SELECT 2', name: undefined }, [])
    const { rows } = await knex.raw('SELECT name, statement FROM pg_prepared_statements')
    expect(rows).toEqual([{ name: 'one', statement: 'SELECT 1' }])
  })

  it('that fails leaves its connection well', async () => {
    const own = Database.of(database().connect({ pool: { min: 1, max: 1 } }), 10_000)
    const sql = 'SELECT 1 / $1::int'
    await expect(runPrepared(own, { sql, name: 'fails' }, ['0'])).rejects.toMatchObject({ code: '22012' })
    await expect(runPrepared(own, { sql: 'SELECT nonsense FROM nowhere', name: 'missing' }, [])).rejects.toMatchObject({ code: '42P01' })
    expect((await runPrepared(own, { sql, name: 'fails' }, ['1'])).rows).toEqual([['1']])
  })

  it('is run by Knex where the driver is not as it is known, with the same answer', async () => {
    const knex = database().connect({
      pool: {
        min: 0,
        max: 2,
        afterCreate: (connection: object, done: (error: null, connection: unknown) => void) => {
          // As a driver that sends statements before the last ones are answered, and refuses queries that are not its own.
          Object.defineProperty(connection, 'pipeline', { value: true, configurable: true })
          done(null, connection)
        }
      }
    })
    const sql = 'SELECT id FROM (SELECT unnest($1::text[]) AS id) AS w'
    const answer = await runPrepared(Database.of(knex, 10_000), { sql, name: 'by_knex' }, [textArray(['a', 'b'])]).catch((error) => error)
    expect(answer).toMatchObject({ rows: [['a'], ['b']], rowCount: 2 })
  })

  it('is ended on the server when its time is up, and its connection is used again', async () => {
    const knex = database().connect({ pool: { min: 0, max: 1 } })
    const own = Database.of(knex, 2000, new PostgresDialect({ prepare: true, durability: 'sets' }))
    const processId = async () => (await runPrepared(own, { sql: 'SELECT pg_backend_pid()', name: undefined }, [])).rows
    const before = await processId()
    await expect(runPrepared(own, { sql: 'SELECT pg_sleep(20)', name: undefined }, [])).rejects.toMatchObject({
      code: 'ERR_SESSION_TIMEOUT',
      outcome: 'not-written'
    })
    expect(await processId()).toEqual(before)
  })

  for (const [what, wrap] of Object.entries(WRAPPERS)) {
    it(`can be traced by what traces the driver and ${what}`, async () => {
      const seen: string[] = []
      const afterCreate = (connection: Queryable, done: (error: null, connection: unknown) => void) => {
        connection.query = wrap(connection.query, seen)
        done(null, connection)
      }
      await expectTraced(Database.of(database().connect({ pool: { min: 0, max: 1, afterCreate } }), 10_000), seen)
    })
  }

  it('can be traced by what replaces the function of all clients', async () => {
    const seen: string[] = []
    const { query } = pg.Client.prototype
    try {
      pg.Client.prototype.query = (WRAPPERS['passes on a copy of the query'] as Wrap)(query as Query, seen) as never
      await expectTraced(Database.of(database().connect({ pool: { min: 0, max: 1 } }), 10_000), seen)
    } finally {
      pg.Client.prototype.query = query
    }
  })

  it('fails where what traces the driver fails before it has called it', async () => {
    const failure = new Error('no trace')
    const afterCreate = (connection: Queryable, done: (error: null, connection: unknown) => void) => {
      connection.query = async () => {
        throw failure
      }
      done(null, connection)
    }
    const own = Database.of(database().connect({ pool: { min: 0, max: 1, afterCreate } }), 10_000)
    await expect(runPrepared(own, { sql: 'SELECT 1', name: undefined }, [])).rejects.toBe(failure)
  })

  it('is bounded by the driver too, where the application has set it so', async () => {
    const connection = { connectionString: database().url, query_timeout: 5000 }
    await using opened = await openStore(database(), { knex: database().connect({ connection }) })
    await opened.store.set('a', handMade({ user: 'ada' }))
    expect(await opened.store.get('a')).toMatchObject({ user: 'ada' })
  })
})

describeDatabase('postgres', 'a list in binary form', (kind) => {
  const database = shareDatabase(kind)

  async function roundTrip(type: string, list: Buffer): Promise<unknown[]> {
    const { rows } = await database().knex.raw(`SELECT to_json(?::${type}[]) AS list`, [list])
    return rows[0].list
  }

  it('keeps every text, null and the empty one too', async () => {
    const texts = ['', 'a', null, 'NULL', '{"a,b"}', '\\', "'", 'Osló “2”', '😀', '\u001e', '\n', 'x'.repeat(70_000), 'é'.repeat(3000)]
    expect(await roundTrip('text', textArray(texts))).toEqual(texts)
    expect(await roundTrip('text', textArray(['only']))).toEqual(['only'])
  })

  it('keeps every whole number that JavaScript has, negative ones too', async () => {
    const moments = [
      -1,
      -4_294_967_296,
      -4_294_967_297,
      -1_790_000_000_123,
      Number.MIN_SAFE_INTEGER,
      0,
      1,
      4_294_967_295,
      4_294_967_296,
      1_790_000_000_123,
      Number.MAX_SAFE_INTEGER
    ]
    expect(await roundTrip('bigint', int8Array(moments))).toEqual(moments)
    expect(await roundTrip('integer', int4Array([-1, 0, 1, 2_147_483_647]))).toEqual([-1, 0, 1, 2_147_483_647])
  })

  it('is larger than any before, and small again', async () => {
    const large = Array.from({ length: 300 }, (_, index) => `${index}`.repeat(2000))
    expect(await roundTrip('text', textArray(large))).toEqual(large)
    expect(await roundTrip('text', textArray(['a']))).toEqual(['a'])
  })
})
