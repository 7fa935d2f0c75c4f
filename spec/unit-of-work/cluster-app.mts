import process from 'node:process'
import express from 'express'
import createKnex from 'knex'
import { unitOfWork } from 'knex-session-store/unit-of-work'

// One of the workers of a cluster: it is started by node:cluster, and ends with its primary.
const knex = createKnex(JSON.parse(process.argv[2] ?? '{}'))
const work = unitOfWork(knex)
const app = express()
app.use(work.middleware())
app.get('/', async (_req, res) => {
  // Twice, for a database may show the second what it showed the first.
  await work.db('names').pluck('name')
  res.set('connection', 'close').json({ pid: process.pid, names: await work.db('names').pluck('name') })
})
app.listen(0, '127.0.0.1')
process.once('disconnect', () => process.exit())
