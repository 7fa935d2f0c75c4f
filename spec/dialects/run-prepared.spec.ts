import { expect, it } from 'vitest'
import { int4Array, int8Array, textArray } from '../../lib/dialects/postgres/binary-array'
import { PostgresDialect } from '../../lib/dialects/postgres/postgres-dialect'
import { runPrepared } from '../../lib/dialects/postgres/run-prepared'
import { Database } from '../../lib/knex/database'
import { describeDatabase } from '../support/databases'
import { handMade, openStore, shareDatabase } from '../support/stores'

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

  it('that fails is told to the application without its values, and the connection goes on', async () => {
    const knex = database().connect({ pool: { min: 1, max: 1 } })
    const own = Database.of(knex, 10_000)
    const told: unknown[] = []
    knex.on('query', ({ sql }: { sql: string }) => told.push(sql))
    knex.on('query-error', (error: Error, { sql }: { sql: string }) => told.push([error.message, sql]))
    const sql = 'SELECT 1 / $1::int'
    await expect(runPrepared(own, { sql, name: 'fails' }, ['0'])).rejects.toMatchObject({ code: '22012' })
    expect(told).toEqual([sql, ['division by zero', sql]])
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
    const own = Database.of(knex, 200, new PostgresDialect({ prepare: true, durability: 'sets' }))
    const processId = async () => (await runPrepared(own, { sql: 'SELECT pg_backend_pid()', name: undefined }, [])).rows
    const before = await processId()
    await expect(runPrepared(own, { sql: 'SELECT pg_sleep(20)', name: undefined }, [])).rejects.toMatchObject({
      code: 'ERR_SESSION_TIMEOUT',
      outcome: 'not-written'
    })
    expect(await processId()).toEqual(before)
  })

  it('can be traced by what traces the driver: it has a text, and a callback that may be wrapped', async () => {
    const knex = database().connect({ pool: { min: 0, max: 1 } })
    const connection = await knex.client.acquireConnection()
    const seen: unknown[] = []
    const { query } = connection
    connection.query = function (
      this: unknown,
      given: { text: string; callback: (error: unknown, answer?: { rowCount: number }) => void }
    ) {
      const { callback } = given
      given.callback = (error, answer) => {
        seen.push([given.text, (error as Error | null)?.message, answer?.rowCount])
        callback(error, answer)
      }
      return query.call(this, given)
    }
    await knex.client.releaseConnection(connection)
    await runPrepared(Database.of(knex, 10_000), { sql: 'SELECT 1', name: 'traced' }, [])
    await runPrepared(Database.of(knex, 10_000), { sql: 'SELECT 1 / 0', name: undefined }, []).catch(() => undefined)
    expect(seen).toEqual([
      ['SELECT 1', undefined, 1],
      ['SELECT 1 / 0', 'division by zero', undefined]
    ])
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

  it('keeps every whole number that JavaScript has, from 0 on', async () => {
    const moments = [0, 1, 4_294_967_295, 4_294_967_296, 1_790_000_000_123, Number.MAX_SAFE_INTEGER]
    expect(await roundTrip('bigint', int8Array(moments))).toEqual(moments)
    expect(await roundTrip('integer', int4Array([0, 1, 2_147_483_647]))).toEqual([0, 1, 2_147_483_647])
  })

  it('is larger than any before, and small again', async () => {
    const large = Array.from({ length: 300 }, (_, index) => `${index}`.repeat(2000))
    expect(await roundTrip('text', textArray(large))).toEqual(large)
    expect(await roundTrip('text', textArray(['a']))).toEqual(['a'])
  })
})
