import type { SessionData } from 'express-session'
import { expect, it, vi } from 'vitest'
import { KnexSessionStore } from '../../lib'
import { RollbackOnlyError, unitOfWork } from '../../lib/unit-of-work'
import { describeDatabase, describeDatabases } from '../support/databases'
import { PATIENT } from '../support/patience'
import { namesIn, openNames, usedConnections } from './names'
import { withSite } from './site'

/** Knex prints what it thinks of connections that were given up. */
const SILENT = { warn: () => undefined }

describeDatabases('"current transaction is aborted" reaches nobody else', (database) => {
  it('a failed statement ends what the unit can do, and says what it was', async () => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex)
    const reasons: unknown[] = []
    const failing = work.run(async (unit) => {
      await work.db('names').insert({ name: 'ada' })
      const cause = await work
        .db('names')
        .insert({ name: 'ada' })
        .then(
          () => undefined,
          (error: unknown) => error
        )
      reasons.push(cause)
      expect(unit.isRollbackOnly).toBe(true)
      // Its connection is free already, for others.
      expect(usedConnections(opened.knex)).toBe(0)
      await expect(work.db('names').select()).rejects.toMatchObject({ code: 'ERR_SESSION_ROLLBACK_ONLY', cause })
    })
    await expect(failing).rejects.toThrow(RollbackOnlyError)
    expect(String(reasons[0])).not.toMatch(/aborted/)
    expect(await namesIn(opened.knex)).toEqual([])
  })

  it('a failed statement that nobody awaited is what a session store in the unit names', async () => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex, { session: 'atomic' })
    await using store = new KnexSessionStore({ knex: opened.knex, pruneIntervalMs: false })
    await store.ready()
    const atomic = work.sessionStore(store)
    const failing = work.run(async (unit) => {
      await work.db('names').insert({ name: 'ada' })
      const failed = work
        .db('names')
        .insert({ name: 'ada' })
        .catch((error: unknown) => error)
      await vi.waitUntil(() => unit.isRollbackOnly, PATIENT)
      const error = await atomic.set('id', { cookie: { originalMaxAge: null } } as SessionData).catch((reason: unknown) => reason)
      expect(error).toMatchObject({ code: 'ERR_SESSION_ROLLBACK_ONLY', cause: await failed })
    })
    await expect(failing).rejects.toThrow(RollbackOnlyError)
    expect(await store.get('id')).toBeNull()
  })

  it('of statements at once, those behind the failed one are not sent', async () => {
    await using opened = await openNames(database)
    const work = unitOfWork(opened.knex)
    const sent = opened.statements
    const failing = work.run(async () => {
      const outcomes = await Promise.allSettled([
        work.db('names').insert({ name: 'one' }),
        work.db('no_such_table').select(),
        work.db('names').insert({ name: 'two' }),
        work.db('names').insert({ name: 'three' })
      ])
      expect(outcomes.map(({ status }) => status[0])).toEqual(['f', 'r', 'r', 'r'])
      expect(outcomes.slice(2)).toEqual(Array(2).fill({ status: 'rejected', reason: expect.any(RollbackOnlyError) }))
    })
    await expect(failing).rejects.toThrow(RollbackOnlyError)
    expect(sent.filter((sql) => sql.startsWith('insert'))).toHaveLength(1)
    expect(await namesIn(opened.knex)).toEqual([])
  })

  it('the next request on the same connection finds everything well', () =>
    withSite({ database }, async ({ work, on, visit }) => {
      on('/fail', async (_req, res) => {
        await Promise.allSettled([work.db('no_such_table'), work.db('no_such_table')])
        res.status(400).end()
      })
      on('/fine', async (_req, res) => res.json(await work.db('names').insert({ name: String(Math.random()) })))
      const statuses = await Promise.all(
        Array.from({ length: 60 }, (_, index) => visit(index % 2 ? '/fine' : '/fail').then(({ status }) => status))
      )
      expect(statuses.filter((status) => status === 200)).toHaveLength(30)
      expect(statuses.filter((status) => status === 400)).toHaveLength(30)
    }))

  it.skipIf(database.name === 'sqlite')(
    'a statement that Knex gave up makes the unit fail (skipped on sqlite: none can be slow)',
    async () => {
      await using opened = await openNames(database, { knex: { log: SILENT } })
      const work = unitOfWork(opened.knex)
      const slow = { postgres: 'select pg_sleep(0.3)', mysql: 'select sleep(0.3)', sqlite: '', cockroach: 'select pg_sleep(0.3)' }[
        database.name
      ]
      if (!slow) return
      const failing = work.run(async () => {
        await work.db('names').insert({ name: 'ada' })
        await expect(work.db.raw(slow).timeout(30)).rejects.toThrow(/timeout/)
        await work.db('names').insert({ name: 'ben' })
      })
      await expect(failing).rejects.toThrow(RollbackOnlyError)
      await expect.poll(() => usedConnections(opened.knex), PATIENT).toBe(0)
      expect(await namesIn(opened.knex)).toEqual([])
    }
  )

  it('a transaction that cannot begin is no failure of the next statement', async () => {
    await using opened = await openNames(database, { knex: { pool: { min: 0, max: 1 }, acquireConnectionTimeout: 1000, log: SILENT } })
    const work = unitOfWork(opened.knex)
    const holder = await opened.knex.transaction()
    await work.run(async () => {
      await expect(work.db('names').select()).rejects.toThrow(/Timeout acquiring a connection/)
      await holder.rollback()
      await work.db('names').insert({ name: 'ada' })
    })
    expect(await namesIn(opened.knex)).toEqual(['ada'])
  })
})

describeDatabase('mysql', 'a deadlock', (database) => {
  it('of whose victim the server has rolled back everything, is not taken for a failed part', async () => {
    await using opened = await openNames(database)
    const { knex } = opened
    await knex('names').insert([{ name: 'ada' }, { name: 'ben' }])
    const work = unitOfWork(knex)
    const change = (first: string, second: string, both: () => Promise<void>) =>
      work.run(async (unit) => {
        await work.db('names').insert({ name: `begun with ${first}` })
        await work.db('names').where({ name: first }).forUpdate().select()
        await both()
        // In a part: Knex takes "SAVEPOINT does not exist" for success, and would go on outside of any transaction.
        const part = work.db.transaction(async () => {
          const locked = Promise.resolve(work.db('names').where({ name: second }).forUpdate().select())
          for (let tick = 0; tick < 20; tick++) await null
          // And the driver would send this one, waiting behind, outside of any transaction too.
          await Promise.allSettled([unit.db('names').insert({ name: `beside ${second}` }), locked])
          await locked
        })
        await Promise.allSettled([part])
        await work.db('names').insert({ name: `ended with ${second}` })
      })
    let arrived = 0
    const both = async () => {
      arrived++
      while (arrived < 2) await new Promise(setImmediate)
    }
    const outcomes = await Promise.allSettled([change('ada', 'ben', both), change('ben', 'ada', both)])
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    const winner =
      outcomes[0].status === 'fulfilled'
        ? ['begun with ada', 'beside ben', 'ended with ben']
        : ['begun with ben', 'beside ada', 'ended with ada']
    expect(await namesIn(knex)).toEqual(['ada', 'ben', ...winner].sort())
  })
})
