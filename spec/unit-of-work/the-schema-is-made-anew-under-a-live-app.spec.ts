import express from 'express'
import session from 'express-session'
import { expect, it } from 'vitest'
import { KnexSessionStore } from '../../lib'
import { resetSchema } from '../../lib/testing'
import { unitOfWork } from '../../lib/unit-of-work'
import { describeDatabases } from '../support/databases'
import { serve, Visitor } from '../support/http'
import { createNames, namesIn, openNames } from './names'

describeDatabases('the schema is made anew under a live app', (database) => {
  it('fifty times, and the app goes on', { timeout: 120_000 }, async () => {
    await using opened = await openNames(database)
    const { knex } = opened
    const work = unitOfWork(knex, { session: 'atomic' })
    await using store = new KnexSessionStore({ knex, pruneIntervalMs: false })
    const app = express()
    app.use(session({ store, secret: 'a secret of the specs', resave: false, saveUninitialized: false }))
    app.use(work.middleware())
    app.get('/login/:name', async (req, res) => {
      req.session.name = req.params.name
      await work.db('names').insert({ name: req.params.name })
      res.end()
    })
    app.get('/whoami', (req, res) => {
      res.json(req.session.name ?? null)
    })
    await using site = await serve(app)
    const visitor = new Visitor(site.url)
    for (let round = 0; round < 50; round++) {
      await resetSchema(knex, createNames)
      expect(await namesIn(knex)).toEqual([])
      expect(await visitor.json('/whoami')).toBe(null)
      expect(await visitor.get(`/login/ada`)).toMatchObject({ status: 200 })
      expect(await visitor.json('/whoami')).toBe('ada')
      expect(await namesIn(knex)).toEqual(['ada'])
    }
  })

  it('with views, sequences and tables that refer to each other', async () => {
    await using opened = await openNames(database)
    const { knex } = opened
    await knex.schema.createTable('a quoted "table"', (table) => {
      table.increments('id')
      table.integer('name_id').unsigned().references('names.id')
    })
    await knex.schema.createView('named', (view) => {
      view.columns(['name'])
      view.as(knex('names').select('name'))
    })
    await knex('names').insert({ name: 'ada' })
    await knex('a quoted "table"').insert({ name_id: (await knex('names').first()).id })
    await resetSchema(knex)
    for (const name of ['names', 'a quoted "table"', 'named']) expect(await knex.schema.hasTable(name)).toBe(false)
    await resetSchema(knex, createNames)
    await knex('names').insert({ name: 'ada' })
  })

  it.skipIf(database.name === 'sqlite')(
    'a table that somebody’s transaction locks is an error and no hang (skipped on sqlite: its one connection is the lock)',
    { timeout: 60_000 },
    async () => {
      await using opened = await openNames(database)
      const holder = await opened.knex.transaction()
      await holder('names').insert({ name: 'ada' })
      await expect(resetSchema(opened.knex, createNames)).rejects.toThrow(/lock/i)
      await holder.rollback()
      await resetSchema(opened.knex, createNames)
      expect(await namesIn(opened.knex)).toEqual([])
    }
  )
})
