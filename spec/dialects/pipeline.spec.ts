import { queryObjects } from 'node:v8'
import type { Knex } from 'knex'
import { afterEach, beforeEach, expect, it, onTestFinished, vi } from 'vitest'
import { Database } from '../../lib/dialects/database'
import { textArray } from '../../lib/dialects/postgres/binary-array'
import { PipelineTrial } from '../../lib/dialects/postgres/pipeline-trial'
import { type PgConnection, PreparedQuery, type Statement } from '../../lib/dialects/postgres/prepared-query'
import { runPrepared } from '../../lib/dialects/postgres/run-prepared'
import { describeDatabase } from '../support/databases'
import { handMade, openStore, shareDatabase } from '../support/stores'

const turn = () => new Promise((resolve) => setImmediate(resolve))

function pipelined(sql: string, name: string | undefined): Statement {
  return { sql, name, pipeline: { last: undefined } }
}

/** How many were sent behind another from now on. */
function followers(): () => number {
  let count = 0
  const { follow } = PreparedQuery.prototype
  // A spy would keep what it was called with.
  PreparedQuery.prototype.follow = function (front) {
    count++
    follow.call(this, front)
  }
  onTestFinished(() => {
    PreparedQuery.prototype.follow = follow
  })
  return () => count
}

describeDatabase('postgres', 'a statement that is sent before its last run is answered', (kind) => {
  const database = shareDatabase(kind)
  // Nothing takes long but what is said to.
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['performance'] })
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  function open({ max = 4, timeoutMs = 10_000, ...config }: { max?: number; timeoutMs?: number } & Knex.Config = {}) {
    const knex = database().connect({ pool: { min: 0, max }, ...config })
    return { knex, max, db: Database.of(knex, timeoutMs), used: () => knex.client.pool.numUsed() as number }
  }

  /** Answers the processes of the server that ran `count` runs of a statement, asked for at once. */
  async function processes(db: Database, statement: Statement, count: number): Promise<(string | null | undefined)[]> {
    const answers = await Promise.all(Array.from({ length: count }, () => runPrepared(db, statement, [])))
    return answers.map(({ rows }) => rows[0]?.[0])
  }

  /** The next statement of this turn finds a connection without asking the pool, so that it is sent before the one after it. */
  async function keepConnection(db: Database): Promise<void> {
    await runPrepared(db, { sql: 'SELECT 1', name: undefined }, [])
  }

  /** A statement that every connection of the pool has prepared. */
  async function prepared({ db, max }: { db: Database; max: number }): Promise<Statement> {
    const { client } = db
    const statement = pipelined('SELECT pg_backend_pid()', 'whose')
    const connections = await Promise.all(Array.from({ length: max }, () => client.acquireConnection() as Promise<PgConnection>))
    for (const connection of connections) {
      await new Promise((resolve) => new PreparedQuery(statement, undefined, connection, [], resolve).start())
      await client.releaseConnection(connection)
    }
    return statement
  }

  /** A pool all of whose connections have prepared the statement, and one of which the next run in this turn finds at once. */
  async function openPrepared(options: Parameters<typeof open>[0] = {}) {
    const opened = open(options)
    const statement = await prepared(opened)
    await keepConnection(opened.db)
    return { ...opened, statement }
  }

  it('goes over the same connection, two at a time', async () => {
    const { db, statement, used } = await openPrepared()
    const [first, second, third] = await processes(db, statement, 3)
    expect(second).toBe(first)
    expect(third).not.toBe(first)
    await turn()
    expect(used()).toBe(0)
  })

  it('goes over two connections while that is not known to be slower', async () => {
    const { db, statement, used } = await openPrepared()
    const trial = new PipelineTrial()
    const tried = { ...statement, pipeline: { last: undefined, trial } }
    const [first, second] = await processes(db, tried, 2)
    expect(second).not.toBe(first)
    trial.isOpen = true
    await keepConnection(db)
    const [third, fourth] = await processes(db, tried, 2)
    expect(fourth).toBe(third)
    await turn()
    expect(used()).toBe(0)
  })

  it('tells what tries it out how many rows it was for', async () => {
    const { db, statement } = await openPrepared()
    const trial = new PipelineTrial()
    const answered = vi.spyOn(trial, 'answered')
    await processes(db, { ...statement, pipeline: { last: undefined, trial } }, 2)
    expect(answered.mock.calls).toEqual([[1], [1]])
  })

  it('is prepared first, on each connection', async () => {
    const { db } = await openPrepared()
    const [first, second] = await processes(db, pipelined('SELECT pg_backend_pid()', 'new'), 2)
    expect(second).not.toBe(first)
  })

  it('is told to the application when it is sent', async () => {
    const { db, knex, statement } = await openPrepared()
    const told: string[] = []
    knex.on('query', ({ sql }: { sql: string }) => told.push(sql))
    const answers = processes(db, statement, 2)
    expect(told).toEqual([statement.sql, statement.sql])
    const [first, second] = await answers
    expect(second).toBe(first)
  })

  it('is answered for itself, whichever of the two fails', async () => {
    const { db } = open()
    const statement = pipelined('SELECT 100 / $1::int', 'quotient')
    const run = (divisor: number) => runPrepared(db, statement, [String(divisor)]).then(({ rows }) => rows[0]?.[0])
    const followed = followers()
    for (const divisors of [
      [0, 5],
      [5, 0],
      [0, 0],
      [4, 5]
    ]) {
      await run(1)
      const outcomes = await Promise.allSettled(divisors.map(run))
      expect(outcomes.map((outcome) => (outcome.status === 'fulfilled' ? outcome.value : outcome.reason.code))).toEqual(
        divisors.map((divisor) => (divisor === 0 ? '22012' : String(100 / divisor)))
      )
    }
    expect(await run(2)).toBe('50')
    expect(followed()).toBe(4)
  })

  it('is answered for itself, among thousands that come at all times and may fail', async () => {
    const { db, used } = open()
    const statement = pipelined('SELECT id, 1 / (id <> $2)::int FROM (SELECT unnest($1::text[]) AS id) AS w', 'echo')
    let random = 1
    const next = (below: number) => {
      random = (random * 48_271) % 2_147_483_647
      return random % below
    }
    let failed = 0
    const followed = followers()
    await Promise.all(
      Array.from({ length: 6 }, async (_, caller) => {
        for (let round = 0; round < 400; round++) {
          const ids = Array.from({ length: 1 + next(5) }, (_, index) => `${caller} ${round} ${index}`)
          const poisoned = next(20) === 0 ? (ids[0] as string) : 'none'
          const answer = await runPrepared(db, statement, [textArray(ids), poisoned]).catch(({ code }) => code)
          if (poisoned !== 'none') failed++
          expect(poisoned === 'none' ? answer.rows.map(([id]: [string]) => id) : answer).toEqual(poisoned === 'none' ? ids : '22012')
          if (next(4) === 0) await turn()
        }
      })
    )
    expect(failed).toBeGreaterThan(20)
    expect(followed()).toBeGreaterThan(100)
    await turn()
    expect(used()).toBe(0)
  })

  it('fails with the other when their connection breaks, and neither is left unanswered', async () => {
    const { db } = open()
    const statement = pipelined("SELECT CASE WHEN $1 = 'end' THEN pg_terminate_backend(pg_backend_pid()) END", 'ends')
    await runPrepared(db, statement, ['not yet'])
    const followed = followers()
    const outcomes = await Promise.allSettled([runPrepared(db, statement, ['end']), runPrepared(db, statement, ['no'])])
    expect(followed()).toBe(1)
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    expect((await runPrepared(db, statement, ['no'])).rows).toEqual([[null]])
  })

  it('is given up in time with the one before it, and their connection is not used again', async () => {
    const { db: patient, knex } = open()
    const db = Database.of(knex, 300)
    const statement = pipelined('SELECT pg_backend_pid(), pg_sleep($1::float)', 'sleeps')
    await runPrepared(patient, statement, ['0'])
    const followed = followers()
    const used = await Promise.allSettled([runPrepared(db, statement, ['20']), runPrepared(db, statement, ['0'])])
    expect(used.map((outcome) => outcome.status === 'rejected' && outcome.reason.code)).toEqual([
      'ERR_SESSION_TIMEOUT',
      'ERR_SESSION_TIMEOUT'
    ])
    expect(followed()).toBe(1)
    const answers = await Promise.all([runPrepared(patient, statement, ['0']), runPrepared(patient, statement, ['0'])])
    expect(answers).toHaveLength(2)
    await turn()
    expect(knex.client.pool.numUsed()).toBe(0)
  })

  it('does not wait behind one that takes long', async () => {
    const { db, statement } = await openPrepared()
    const first = runPrepared(db, statement, [])
    vi.advanceTimersByTime(6)
    const second = runPrepared(db, statement, [])
    const [one, other] = (await Promise.all([first, second])).map(({ rows }) => rows[0]?.[0])
    expect(one).not.toBe(other)
  })

  it('keeps no connection from the pool for longer than a second', async () => {
    const { db, statement } = await openPrepared()
    const followed = followers()
    const first = runPrepared(db, statement, [])
    const began = (ms: number) => Object.assign(statement.pipeline?.last as object, { lineBeganAt: performance.now() - ms })
    began(990)
    vi.advanceTimersByTime(4)
    const second = runPrepared(db, statement, [])
    expect(followed()).toBe(1)
    expect(statement.pipeline?.last?.ageOfLine).toBe(994)
    await Promise.all([first, second])
    const third = runPrepared(db, statement, [])
    began(1000)
    const fourth = runPrepared(db, statement, [])
    expect(followed()).toBe(1)
    await Promise.all([third, fourth])
  })

  it('is answered for itself where the application uses the connection too', async () => {
    const { db, knex } = open({ max: 1 })
    const statement = pipelined('SELECT $1::text', 'echo')
    const run = (text: string) => runPrepared(db, statement, [text]).then(({ rows }) => rows[0]?.[0])
    const connection = await knex.client.acquireConnection()
    await knex.client.releaseConnection(connection)
    const ask = () => connection.query("SELECT 'of the application' AS c").then(({ rows }: { rows: { c: string }[] }) => rows[0]?.c)
    const followed = followers()
    await run('first')
    const answers = [run('a'), run('b'), ask()]
    expect(await Promise.all(answers)).toEqual(['a', 'b', 'of the application'])
    expect(followed()).toBe(1)
    await run('first')
    const others = [run('a'), ask(), run('b')]
    expect(await Promise.all(others)).toEqual(['a', 'of the application', 'b'])
    // What waited in the driver would have been sent behind the follower, and answered in its place.
    expect(followed()).toBe(1)
  })

  it('is answered, or refused, when Knex is destroyed meanwhile', async () => {
    const { db, knex, statement } = await openPrepared()
    const followed = followers()
    const both = processes(db, statement, 2)
    await knex.destroy()
    expect(followed()).toBe(1)
    expect(new Set(await both).size).toBe(1)
    await expect(runPrepared(db, statement, [])).rejects.toThrow(/Unable to acquire a connection|destroyed/)
  })

  it('leaves the connection to who waits for it', async () => {
    const opened = open({ max: 1 })
    const { db, knex } = opened
    const statement = await prepared(opened)
    const order: string[] = []
    const first = runPrepared(db, statement, []).then(() => order.push('first'))
    const waiting = knex.raw('SELECT 1').then(() => order.push('of the application'))
    await turn()
    const second = runPrepared(db, statement, []).then(() => order.push('second'))
    await Promise.all([first, waiting, second])
    expect(order).toEqual(['first', 'of the application', 'second'])
  })

  it('is not sent early where the driver bounds each query in time', async () => {
    const { db, statement } = await openPrepared({ connection: { connectionString: database().url, query_timeout: 5000 } })
    const [first, second] = await processes(db, statement, 2)
    expect(second).not.toBe(first)
  })

  it('is not sent early without a name', async () => {
    const { db } = await openPrepared()
    const [first, second] = await processes(db, pipelined('SELECT pg_backend_pid()', undefined), 2)
    expect(second).not.toBe(first)
  })

  it('is not sent on a connection that broke', async () => {
    const { db, statement } = await openPrepared()
    const first = runPrepared(db, statement, [])
    Object.assign(statement.pipeline?.last?.connection as object, { __knex__disposed: new Error('it ended') })
    const second = runPrepared(db, statement, [])
    expect((await second).rows).not.toEqual((await first).rows)
  })

  it('stays in its own transaction, and asks the function that the application gives connections by', async () => {
    const opened = open()
    const { db, knex } = opened
    const statement = await prepared(opened)
    await knex.transaction(async (trx) => {
      const { rows } = await trx.raw('SELECT pg_backend_pid()::text AS own')
      await keepConnection(db)
      const outside = runPrepared(db, statement, [])
      expect(statement.pipeline?.last?.mayBeFollowed).toBe(true)
      expect(await processes(Database.of(trx, 10_000), statement, 2)).toEqual([rows[0].own, rows[0].own])
      await outside
      let isSent = false
      trx.once('query', () => {
        isSent = true
      })
      const inside = runPrepared(Database.of(trx, 10_000), statement, [])
      // Within this turn, so that it is not answered.
      for (let step = 0; step < 100 && !isSent; step++) await Promise.resolve()
      expect(isSent).toBe(true)
      expect(await processes(db, statement, 1)).not.toEqual([rows[0].own])
      await inside
    })
    await keepConnection(db)
    const { acquireConnection } = knex.client
    const asked = vi.fn(() => acquireConnection.call(knex.client))
    const first = runPrepared(db, statement, [])
    knex.client.acquireConnection = asked
    await Promise.all([first, runPrepared(db, statement, [])])
    expect(asked).toHaveBeenCalledTimes(1)
  })

  it('does not keep what was answered before', async () => {
    const opened = open()
    const { db } = opened
    const statement = await prepared(opened)
    let left = 3000
    const followed = followers()
    const caller = async () => {
      // How often one follows another depends on the machine.
      while (left-- > 0 || followed() <= 1000) await runPrepared(db, statement, [])
    }
    await Promise.all([caller(), caller(), caller()])
    const ending = Promise.all([runPrepared(db, statement, []), runPrepared(db, statement, [])])
    expect(followed()).toBeGreaterThan(1000)
    expect(queryObjects(PreparedQuery, { format: 'count' })).toBeLessThan(20)
    await ending
    expect(statement.pipeline?.last).toBeUndefined()
  })
})

describeDatabase('postgres', 'sets that wait for the disk', (kind) => {
  it('are tried in a pipeline where many are asked for at the same time, and not where few are', async () => {
    await using opened = await openStore(kind, {}, { knex: { pool: { min: 0, max: 6 } } })
    const { store } = opened
    const followed = followers()
    let left = 0
    const caller = async (_: unknown, index: number) => {
      while (left-- > 0) await store.set(`caller ${index}`, handMade({ left }))
    }
    left = 2000
    await Promise.all(Array.from({ length: 4 }, caller))
    expect(followed()).toBe(0)
    left = 20_000
    await Promise.all(Array.from({ length: 64 }, caller))
    expect(followed()).toBeGreaterThan(10)
    const sessions = await Promise.all(Array.from({ length: 64 }, (_, index) => store.get(`caller ${index}`)))
    expect(sessions.every((session) => session !== null)).toBe(true)
  })
})

describeDatabase('postgres', 'a session whose row is locked', (kind) => {
  it('holds up nobody but those who were sent with it', async () => {
    await using opened = await openStore(kind, { touchAfterMs: 0, storedId: 'plain' }, { knex: { pool: { min: 0, max: 6 } } })
    const { store, knex, tableName } = opened
    const ids = Array.from({ length: 40 }, (_, index) => `id ${index}`)
    await Promise.all(ids.map((id) => store.set(id, handMade())))
    const touch = (id: string) => store.touch(id, handMade())
    // Each connection of the pool knows the statement by then.
    for (let round = 0; round < 5; round++) await Promise.all(ids.map(touch))
    let blocked = true
    let all: Promise<unknown> | undefined
    await knex.transaction(async (trx) => {
      await trx.raw('SELECT 1 FROM ?? WHERE id = ? FOR UPDATE', [tableName, 'id 0'])
      // The first half goes at once, and the other behind it.
      await Promise.all(ids.slice(1).map(touch))
      all = Promise.all(ids.map(touch)).then(() => {
        blocked = false
      })
      await turn()
      // Those who come later are answered while the lock is held, again and again.
      for (let round = 0; round < 10; round++) await Promise.all(ids.slice(35).map((id) => store.touch(`new ${id}`, handMade())))
      expect(blocked).toBe(true)
    })
    await all
  })
})
