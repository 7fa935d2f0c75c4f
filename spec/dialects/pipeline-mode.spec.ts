import type { Knex } from 'knex'
import { expect, it, vi } from 'vitest'
import { driverOf } from '../../lib/dialects/dialect'
import { PostgresDialect } from '../../lib/dialects/postgres/postgres-dialect'
import { runPrepared } from '../../lib/dialects/postgres/run-prepared'
import { Database } from '../../lib/knex/database'
import { describeDatabase } from '../support/databases'
import { PATIENT } from '../support/patience'
import { handMade, openStore } from '../support/stores'

// The driver's own mode, in which it sends statements before the last ones are answered, and takes no queries but its own.
describeDatabase('postgres', "pg's own pipeline mode", (kind) => {
  const open = async (max = 3) => {
    const database = await kind.open()
    const knex = database.connect({
      connection: { connectionString: database.url, pipeline: true } as Knex.PgConnectionConfig,
      pool: { min: 0, max }
    })
    const opened = await openStore(database, { knex })
    const connection = await knex.client.acquireConnection()
    expect(connection.pipeline).toBe(true)
    await knex.client.releaseConnection(connection)
    return {
      ...opened,
      async [Symbol.asyncDispose]() {
        await opened[Symbol.asyncDispose]()
        await database[Symbol.asyncDispose]()
      }
    }
  }

  it('mixes up no answers, among thousands, with failing statements in between', async () => {
    await using opened = await open()
    const { store, knex } = opened
    const ids = Array.from({ length: 200 }, (_, index) => `s${index}`)
    await Promise.all(ids.map((id) => store.set(id, handMade({ id }))))
    const db = Database.of(knex, 10_000)
    const echo = { sql: 'SELECT $1::text, pg_sleep(0.0005)', name: 'echo' }
    const failing = { sql: 'SELECT 1 / $1::int', name: 'fails' }
    const wrong: unknown[] = []
    const own = async (index: number) => {
      if (index % 7 === 0) {
        const error = await runPrepared(db, failing, ['0'], true).catch((caught) => caught)
        if (error.code !== '22012') wrong.push([index, error])
        return
      }
      const { rows } = await runPrepared(db, echo, [`own ${index}`], true)
      if (rows[0]?.[0] !== `own ${index}`) wrong.push([index, rows])
    }
    const applications = async (index: number) => {
      const { rows } = await knex.raw('SELECT ?::text AS mine', [`application ${index}`])
      if (rows[0].mine !== `application ${index}`) wrong.push([index, rows])
    }
    const loaded = async (index: number) => {
      const id = ids[index % ids.length] as string
      const session = (await store.get(id)) as { id?: string } | null
      if (session?.id !== id) wrong.push([id, session])
    }
    for (let round = 0; round < 10; round++) {
      const works = Array.from({ length: 300 }, (_, index) => [own, loaded, applications][index % 3]?.(round * 300 + index))
      await Promise.all(works)
    }
    expect(wrong).toEqual([])
  })

  it('lets two reads share a connection, and the third go over another one', async () => {
    await using opened = await open(3)
    const db = Database.of(opened.knex, 10_000)
    const pid = { sql: 'SELECT pg_backend_pid()::text, pg_sleep(1.5)', name: 'pid' }
    const pidsOf = async (mayShare: boolean) => {
      const first = runPrepared(db, pid, [], mayShare)
      await vi.waitUntil(() => opened.knex.client.pool.numUsed() === 1, PATIENT)
      const answers = await Promise.all([first, runPrepared(db, pid, [], mayShare), runPrepared(db, pid, [], mayShare)])
      return answers.map(({ rows }) => rows[0]?.[0])
    }
    await pidsOf(false)
    const [first, second, third] = await pidsOf(true)
    expect(second).toBe(first)
    expect(third).not.toBe(first)
    expect(new Set(await pidsOf(false)).size).toBe(3)
  })

  it('keeps writes, which may wait for a lock, on connections of their own', async () => {
    await using opened = await open(4)
    const { knex, store } = opened
    await store.set('a', handMade({ user: 'ada' }))
    await store.set('b', handMade({ user: 'bob' }))
    const lock = await knex.transaction()
    await lock(opened.tableName).update({ owner_id: 'locked' })
    const waiting = store.destroy('a')
    expect(await store.get('b')).toMatchObject({ user: 'bob' })
    await lock.rollback()
    await waiting
  })

  it('gives back what it had, and drops what had no answer', async () => {
    await using opened = await open(2)
    const { knex } = opened
    const db = Database.of(knex, 200, driverOf(new PostgresDialect({ prepare: true, durability: 'sets' })))
    const sleep = { sql: 'SELECT pg_sleep(0.6)', name: undefined }
    const outcomes = await Promise.allSettled([
      runPrepared(db, sleep, [], true),
      runPrepared(db, sleep, [], true),
      runPrepared(db, sleep, [], true)
    ])
    for (const outcome of outcomes) expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'ERR_SESSION_TIMEOUT' } })
    const patient = Database.of(knex, 10_000)
    expect((await runPrepared(patient, { sql: 'SELECT 1', name: undefined }, [], true)).rows).toEqual([['1']])
    await vi.waitUntil(() => knex.client.pool.numUsed() === 0, PATIENT)
  })

  it('gives values as the server sends them, whatever the application has the driver make of them', async () => {
    await using opened = await open(1)
    const { knex } = opened
    const connection = await knex.client.acquireConnection()
    connection.setTypeParser(25, () => 'of the application')
    connection.setTypeParser(20, () => 'of the application')
    await knex.client.releaseConnection(connection)
    const answer = await runPrepared(Database.of(knex, 1000), { sql: 'SELECT $1::text, $2::bigint, NULL', name: 'typed' }, ['a', '7'])
    expect(answer).toMatchObject({ rows: [['a', '7', null]], rowCount: 1 })
    await opened.store.set('a', handMade({ user: 'ada' }))
    expect(await opened.store.get('a')).toMatchObject({ user: 'ada' })
  })

  it('prepares anew what the server has forgotten there too', async () => {
    await using opened = await open(1)
    const { knex, store } = opened
    const use = async () => {
      await store.set('alone', handMade({ index: -1 }))
      expect(await store.get('alone')).toMatchObject({ index: -1 })
      await Promise.all(Array.from({ length: 30 }, (_, index) => store.set(`s${index}`, handMade({ index }))))
      const loaded = await Promise.all(Array.from({ length: 30 }, (_, index) => store.get(`s${index}`)))
      expect(loaded.map((session) => (session as { index?: number } | null)?.index)).toEqual(
        Array.from({ length: 30 }, (_, index) => index)
      )
    }
    await use()
    await knex.raw('DISCARD ALL')
    await use()
  })
})
