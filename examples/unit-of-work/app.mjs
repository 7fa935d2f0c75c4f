// Models that need no transaction argument: Objection.js bound to work.db. With sessions: ../objection
import express from 'express'
import createKnex from 'knex'
import { unitOfWork } from 'knex-session-store/unit-of-work'
import { Model } from 'objection'

const knex = createKnex({ client: 'better-sqlite3', connection: { filename: ':memory:' }, useNullAsDefault: true })
await knex.schema.createTable('visitors', (table) => {
  table.increments('id')
  table.string('name').unique()
})

const work = unitOfWork(knex)
Model.knex(work.db)
class Visitor extends Model {
  static tableName = 'visitors'
}

const app = express()
app.set('env', 'test')
app.use(work.middleware())
app.get('/add/:name', async (req, res) => {
  const { id } = await Visitor.query().insert({ name: req.params.name })
  // 400 and above roll back, and so does a throw.
  res.status(req.query.fail ? 409 : 200).json({ id })
})
app.get('/', async (_req, res) => res.json(await Visitor.query().orderBy('name').select('name')))

const server = app.listen(0, '127.0.0.1', async () => {
  const visit = async (path) => console.log(path, await (await fetch(`http://127.0.0.1:${server.address().port}${path}`)).text())
  await visit('/add/ada')
  await visit('/add/ben?fail=1')
  await visit('/')
  server.close()
  await knex.destroy()
})
