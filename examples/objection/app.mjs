// Objection.js and sessions in one transaction for each request: an order and the visitor's session are kept together, or neither is.
import express from 'express'
import session from 'express-session'
import createKnex from 'knex'
import { KnexSessionStore } from 'knex-session-store'
import { unitOfWork } from 'knex-session-store/unit-of-work'
import { Model } from 'objection'

const knex = createKnex({ client: 'better-sqlite3', connection: { filename: 'shop.sqlite' }, useNullAsDefault: true })
const store = new KnexSessionStore({ knex, owner: (session) => session.name, onError: (error) => console.error(error.message) })
if (!(await knex.schema.hasTable('orders'))) {
  await knex.schema.createTable('orders', (table) => {
    table.increments('id')
    table.string('customer').notNullable()
    table.string('item').notNullable()
  })
}

// 'atomic': the session is saved in the transaction of the request.
const work = unitOfWork(knex, { session: 'atomic' })
// Bound once, to work.db: no query of a model needs a transaction argument.
Model.knex(work.db)
class Order extends Model {
  static tableName = 'orders'
}

const app = express()
app.use(express.urlencoded({ extended: false }))
app.use(session({ store, secret: process.env.SESSION_SECRET ?? 'only for this example', resave: false, saveUninitialized: false }))
app.use(work.middleware()) // after session()

app.get('/', async (req, res) => {
  const { name, ordered } = req.session
  if (name === undefined) return res.send('Nobody is signed in.\n')
  const orders = await Order.query().where({ customer: name }).orderBy('id')
  res.send(`Hello ${name}, the session counts ${ordered}, the table has: ${orders.map(({ item }) => item).join(', ')}\n`)
})

app.post('/sign-in', (req, res, next) => {
  const name = String(req.body.name ?? '').trim()
  if (name === '' || name.length > 255) return res.status(400).send('a name of 1 to 255 characters, please\n')
  // Check the password here. Then a new id: one that was planted before the sign-in is of no use.
  req.session.regenerate((error) => {
    if (error) return next(error)
    Object.assign(req.session, { name, ordered: 0 })
    res.redirect(303, '/')
  })
})

app.post('/orders', async (req, res) => {
  const { name } = req.session
  if (name === undefined) return res.sendStatus(401)
  await Order.query().insert({ customer: name, item: String(req.body.item) })
  req.session.ordered += 1
  // 400 and above roll back, and so does a throw: then neither the row nor the count in the session is kept.
  if (req.body.item === 'unicorn') return res.status(409).send('There are no unicorns left.\n')
  res.redirect(303, '/')
})

app.post('/log-out', (req, res, next) => {
  req.session.destroy((error) => {
    if (error) return next(error)
    res.clearCookie('connect.sid').redirect(303, '/')
  })
})

// Rolls back on a throw, whatever the error handlers after it respond.
app.use(work.errorMiddleware())
app.use((error, _req, res, next) => {
  console.error(error.message)
  if (res.headersSent) return next(error)
  res.status(500).send('Something went wrong; it is in the log of the server.\n')
})

const server = app.listen(process.env.PORT ?? 3000, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`))
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    server.close(async () => {
      await store.close()
      await knex.destroy()
    })
  })
}
