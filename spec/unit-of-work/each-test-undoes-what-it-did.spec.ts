import express, { type Express, type NextFunction, type Request, type Response } from 'express'
import session from 'express-session'
import createFastify from 'fastify'
import type { Knex } from 'knex'
import supertest from 'supertest'
import { expect, it } from 'vitest'
import { createSessionsTable, KnexSessionStore } from '../../lib'
import { rolledBack, SchemaChangeCommitsError, TestEndedError } from '../../lib/testing'
import { RollbackOnlyError, type SessionMode, type UnitOfWork, unitOfWork } from '../../lib/unit-of-work'
import { describeDatabases } from '../support/databases'
import { serve } from '../support/http'
import { namesIn, openNames, usedConnections } from './names'

const SECRET = 'a secret of the specs'

/** The application under test: it is given a Knex and knows nothing of tests. */
function makeApp(knex: Knex, mode: SessionMode = 'independent'): { app: Express; work: UnitOfWork; store: KnexSessionStore } {
  const work = unitOfWork(knex, { session: mode })
  const store = new KnexSessionStore({ knex, pruneIntervalMs: false })
  const app = express()
  app.set('env', 'test')
  app.use(session({ store, secret: SECRET, resave: false, saveUninitialized: false }))
  app.use(work.middleware())
  const route = (path: string, handler: (req: Request, res: Response) => unknown) => {
    app.get(path, (req: Request, res: Response, next: NextFunction) => {
      new Promise((resolve) => resolve(handler(req, res))).catch(next)
    })
  }
  route('/add/:name', async (req, res) => {
    await work.db('names').insert({ name: String(req.params.name) })
    if (req.query.wait) await new Promise((resolve) => setTimeout(resolve, Number(req.query.wait)))
    await work.run(() => work.db('names').insert({ name: `${req.params.name} too` }))
    res.status(Number(req.query.status ?? 200)).json(await namesIn(work.db))
  })
  route('/login/:name', async (req, res) => {
    req.session.name = String(req.params.name)
    await work.db('names').insert({ name: String(req.params.name) })
    res.sendStatus(Number(req.query.status ?? 200))
  })
  route('/whoami', (req, res) => res.json({ name: req.session.name ?? null }))
  route('/audited/:name', async (req, res) => {
    await work.db('names').insert({ name: String(req.params.name) })
    // On the pool, as if the unit were not there: a statement, a transaction, a script.
    await knex('names').insert({ name: `${req.params.name} seen` })
    await knex.transaction((trx) => trx('names').insert({ name: `${req.params.name} noted` }))
    await work.outside(() => work.run(() => work.db('names').insert({ name: `${req.params.name} logged` })))
    res.end()
  })
  return { app, work, store }
}

describeDatabases('each test undoes what it did', (database) => {
  it('a hundred tests that insert the same name pass, and leave the table empty, without DELETE or TRUNCATE', async () => {
    await using opened = await openNames(database)
    const { knex, statements } = opened
    for (let index = 0; index < 100; index++) {
      await using test = rolledBack(knex)
      await test.knex('names').insert({ name: 'ada' })
      expect(await namesIn(test.knex)).toEqual(['ada'])
    }
    expect(await namesIn(knex)).toEqual([])
    expect(statements.filter((sql) => /delete|truncate/i.test(sql))).toEqual([])
    expect(usedConnections(knex)).toBe(0)
  })

  it('it sees what a request committed, and nothing that a request rolled back', async () => {
    await using opened = await openNames(database)
    for (const mode of ['independent', 'atomic'] as const) {
      await using test = rolledBack(opened.knex)
      const { app, store } = makeApp(test.knex, mode)
      // Where a change of the schema commits, the table of the sessions has to be there before.
      if (database.name === 'mysql') await createSessionsTable(opened.knex)
      const visitor = supertest.agent(app)
      await visitor.get('/add/ada').expect(200, ['ada', 'ada too'])
      await visitor.get('/add/ben?status=409').expect(409, ['ada', 'ada too', 'ben', 'ben too'])
      await visitor.get('/add/ada').expect(500)
      expect(await namesIn(test.knex)).toEqual(['ada', 'ada too'])
      await visitor.get('/login/cleo?status=409').expect(409)
      await visitor.get('/whoami').expect({ name: mode === 'atomic' ? null : 'cleo' })
      await visitor.get('/login/dora').expect(200)
      await visitor.get('/whoami').expect({ name: 'dora' })
      expect(await store.length()).toBe(1)
      expect(await namesIn(test.knex)).toEqual(['ada', 'ada too', 'dora'])
    }
    expect(await namesIn(opened.knex)).toEqual([])
    if (database.name !== 'mysql') expect(await opened.knex.schema.hasTable('sessions')).toBe(false)
  })

  it('also by fastify.inject', async () => {
    await using opened = await openNames(database)
    await using test = rolledBack(opened.knex)
    const work = unitOfWork(test.knex)
    await using fastify = createFastify()
    await fastify.register(work.fastifyPlugin())
    fastify.get('/:name/:status', async (request, reply) => {
      const { name, status } = request.params as { name: string; status: string }
      await work.db('names').insert({ name })
      return reply.status(Number(status)).send(await namesIn(work.db))
    })
    expect((await fastify.inject('/ada/200')).json()).toEqual(['ada'])
    expect((await fastify.inject('/ben/400')).json()).toEqual(['ada', 'ben'])
    expect(await namesIn(test.knex)).toEqual(['ada'])
    await work.run(async () => {
      await work.db('names').insert({ name: 'of the test' })
      expect((await fastify.inject('/cleo/200')).json()).toEqual(['ada', 'cleo', 'of the test'])
      expect((await fastify.inject('/dora/400')).json()).toEqual(['ada', 'cleo', 'dora', 'of the test'])
    })
    expect(await namesIn(test.knex)).toEqual(['ada', 'cleo', 'of the test'])
  })

  it('also while the test itself holds a scope open', async () => {
    await using opened = await openNames(database)
    await using test = rolledBack(opened.knex)
    if (database.name === 'mysql') await createSessionsTable(opened.knex)
    const { app, work } = makeApp(test.knex)
    // One server listens since before, and knows no context; supertest starts another within.
    await using site = await serve(app)
    const holds: Record<string, (use: () => Promise<void>) => Promise<unknown>> = {
      'work.run': (use) => work.run(use),
      'a transaction with a function': (use) => test.knex.transaction(use),
      'a transaction as a handle': async (use) => {
        const trx = await test.knex.transaction()
        await use()
        await trx.commit()
      },
      'a transaction inside another': (use) => work.run(() => test.knex.transaction(() => work.run(use)))
    }
    for (const [index, hold] of Object.values(holds).entries()) {
      const name = `n${index}`
      await hold(async () => {
        await test.knex('names').insert({ name: `${name} of the test` })
        await supertest(app).get(`/add/${name} a`).expect(200)
        await supertest(app).get(`/add/${name} b?status=400`).expect(400)
        if (!Object.keys(holds)[index]?.includes('function')) expect((await fetch(`${site.url}/add/${name} c`)).status).toBe(200)
      })
      expect((await namesIn(test.knex)).filter((found) => found.startsWith(name) && !found.includes(' c'))).toEqual([
        `${name} a`,
        `${name} a too`,
        `${name} of the test`
      ])
    }
    await expect(
      work.run(async () => {
        await supertest(app).get('/add/gone').expect(200)
        throw new RangeError('the test’s own scope')
      })
    ).rejects.toThrow(RangeError)
    expect((await namesIn(test.knex)).filter((name) => name.startsWith('gone'))).toEqual([])
  })

  it('requests at once take turns, and each undoes only itself', async () => {
    await using opened = await openNames(database)
    await using test = rolledBack(opened.knex)
    if (database.name === 'mysql') await createSessionsTable(opened.knex)
    const { app, store } = makeApp(test.knex)
    await store.ready()
    await using site = await serve(app)
    const visits = ['a?wait=20', 'b?status=400&wait=5', 'c', 'd?status=500&wait=10', 'e?wait=1', 'a']
    const statuses = await Promise.all(visits.map(async (visit) => (await fetch(`${site.url}/add/${visit}`)).status))
    expect(statuses.slice(0, 5)).toEqual([200, 400, 200, 500, 200])
    const both = [statuses[0], statuses[5]].sort()
    expect(both).toEqual([200, 500].slice(0, both.length))
    expect(await namesIn(test.knex)).toEqual(['a', 'a too', 'c', 'c too', 'e', 'e too'])
  })

  it('what a request does on the pool beside its unit waits for nobody', async () => {
    await using opened = await openNames(database)
    await using test = rolledBack(opened.knex)
    if (database.name === 'mysql') await createSessionsTable(opened.knex)
    const { app } = makeApp(test.knex)
    await supertest(app).get('/audited/ada').expect(200)
    expect(await namesIn(test.knex)).toEqual(['ada', 'ada logged', 'ada noted', 'ada seen'])
  })

  it('a statement that fails undoes itself alone, as it would without the test', async () => {
    await using opened = await openNames(database)
    await using test = rolledBack(opened.knex)
    await test.knex('names').insert({ name: 'ada' })
    const outcomes = await Promise.allSettled([
      test.knex('names').insert({ name: 'ada' }),
      test.knex('names').insert({ name: 'ben' }),
      test.knex('no_such_table').select(),
      test.knex('names').insert({ name: 'cleo' }),
      test.knex.transaction(async (trx) => {
        await trx('names').insert({ name: 'dora' })
        await trx('names').insert({ name: 'ada' })
      }),
      test.knex('names').insert({ name: 'emma' })
    ])
    expect(outcomes.map(({ status }) => status[0])).toEqual(['r', 'f', 'r', 'f', 'r', 'f'])
    expect(await namesIn(test.knex)).toEqual(['ada', 'ben', 'cleo', 'emma'])
  })

  it('transactions at once take turns, in order', async () => {
    await using opened = await openNames(database)
    await using test = rolledBack(opened.knex)
    const order: string[] = []
    const outcomes = await Promise.allSettled(
      ['a', 'b', 'c', 'd'].map((name, index) =>
        test.knex.transaction(async (trx) => {
          order.push(`${name} begins`)
          await trx('names').insert({ name })
          await new Promise((resolve) => setTimeout(resolve, 5 - index))
          await trx('names').insert({ name: `${name} too` })
          order.push(`${name} ends`)
          if (index % 2 === 1) throw new RangeError(name)
        })
      )
    )
    expect(order).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends', 'd begins', 'd ends'])
    expect(outcomes.map(({ status }) => status[0])).toEqual(['f', 'r', 'f', 'r'])
    expect(await namesIn(test.knex)).toEqual(['a', 'a too', 'c', 'c too'])
  })

  it('transactions by hand may end in any order', async () => {
    await using opened = await openNames(database)
    await using test = rolledBack(opened.knex)
    const first = await test.knex.transaction()
    await first('names').insert({ name: 'first' })
    const second = await test.knex.transaction()
    await second('names').insert({ name: 'second' })
    await first.commit()
    await second.rollback()
    expect(await namesIn(test.knex)).toEqual(['first'])
    const third = await test.knex.transaction()
    await third('names').insert({ name: 'third' })
    await third.commit()
    expect(await namesIn(test.knex)).toEqual(['first', 'third'])
  })

  it('one that poisons its transaction does not disturb the next', async () => {
    await using opened = await openNames(database)
    for (const poison of ['select * from no_such_table', 'this is not SQL']) {
      await using test = rolledBack(opened.knex)
      const trx = await test.knex.transaction()
      await expect(trx.raw(poison)).rejects.toThrow()
      if (database.name === 'postgres') await expect(trx('names').select()).rejects.toThrow(RollbackOnlyError)
      // And leaves it open.
    }
    await using test = rolledBack(opened.knex)
    await test.knex('names').insert({ name: 'ada' })
    expect(await namesIn(test.knex)).toEqual(['ada'])
  })

  it.skipIf(database.name === 'mysql')(
    'one that alters the table does not disturb the next (skipped on mysql: its ALTER TABLE commits)',
    async () => {
      await using opened = await openNames(database)
      for (let index = 0; index < 3; index++) {
        await using test = rolledBack(opened.knex)
        await test.knex.schema.alterTable('names', (table) => table.integer('age'))
        await test.knex.schema.alterTable('names', (table) => table.dropColumn('name'))
        await test.knex('names').insert({ age: 36 })
        expect(await test.knex('names').pluck('age')).toEqual([36])
      }
      await using test = rolledBack(opened.knex)
      await test.knex('names').insert({ name: 'ada' })
      expect(Object.keys(await test.knex('names').first())).toEqual(['id', 'name'])
    }
  )

  it('a change of the schema that would commit is refused in words', async () => {
    await using opened = await openNames(database)
    await using test = rolledBack(opened.knex)
    await test.knex('names').insert({ name: 'ada' })
    const change = test.knex.schema.alterTable('names', (table) => table.integer('age'))
    if (database.name === 'mysql') await expect(change).rejects.toThrow(SchemaChangeCommitsError)
    else await change
    await test.rollBack()
    expect(await namesIn(opened.knex)).toEqual([])
  })

  it('migrations and streams of rows run in it as well', async () => {
    await using opened = await openNames(database)
    await using test = rolledBack(opened.knex)
    await test.knex('names').insert([{ name: 'ada' }, { name: 'ben' }])
    const rows: string[] = []
    for await (const { name } of test.knex('names').orderBy('name').stream()) rows.push(name)
    expect(rows).toEqual(['ada', 'ben'])
    if (database.name === 'mysql') return
    const migrationSource = {
      getMigrations: async () => ['1'],
      getMigrationName: (name: string) => name,
      getMigration: async () => ({
        up: (knex: Knex) => knex.schema.createTable('pets', (table) => table.increments()),
        down: async () => undefined
      })
    }
    await test.knex.migrate.latest({ migrationSource })
    expect(await test.knex('pets')).toEqual([])
    await test.rollBack()
    expect(await opened.knex.schema.hasTable('pets')).toBe(false)
    expect(await opened.knex.schema.hasTable('knex_migrations')).toBe(false)
  })

  it('what comes after its end is told so', async () => {
    await using opened = await openNames(database)
    const test = rolledBack(opened.knex)
    const { app } = makeApp(test.knex)
    await test.knex('names').insert({ name: 'ada' })
    await test.rollBack()
    await test.rollBack()
    await expect(test.knex('names').insert({ name: 'late' })).rejects.toThrow(TestEndedError)
    await expect(test.knex.transaction(async () => 1)).rejects.toThrow(TestEndedError)
    await supertest(app).get('/add/late').expect(500)
    expect(await namesIn(opened.knex)).toEqual([])
  })

  it('a store that is called after its end is told so by every method, and sends nothing', async () => {
    await using opened = await openNames(database)
    if (database.name === 'mysql') await createSessionsTable(opened.knex)
    const test = rolledBack(opened.knex)
    const { store } = makeApp(test.knex)
    await store.ready()
    const handle = store.withTransaction(await test.knex.transaction())
    await handle.length()
    let inside: KnexSessionStore | undefined
    const unfinished = test.knex.transaction(async (trx) => {
      inside = store.withTransaction(trx)
      await inside.length()
      await test.rollBack()
    })
    // Its savepoint is gone, and not every database says so.
    await unfinished.catch(() => undefined)
    const { length } = opened.statements
    const another = new KnexSessionStore({ knex: test.knex, pruneIntervalMs: false })
    for (const late of [store, another, handle, inside as KnexSessionStore]) {
      const calls = [late.ready(), late.get('a'), late.destroy('a'), late.ids(), late.length(), late.clear(), late.prune()]
      for (const outcome of await Promise.allSettled(calls)) {
        expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'ERR_SESSION_TEST_ENDED' } })
      }
      expect(await late.health()).toMatchObject({ ok: false, error: { code: 'ERR_SESSION_TEST_ENDED' } })
    }
    expect(opened.statements).toHaveLength(length)
  })
})
