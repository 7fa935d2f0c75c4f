// Panel 6: an order and the session in one transaction.
import { Router } from 'express'
import { unitOfWork } from 'knex-session-store/unit-of-work'
import { TABLES } from '../database.mjs'
import { ownerOf } from './devices.mjs'

export async function makeOrders(knex) {
  if (await knex.schema.hasTable(TABLES.orders)) return
  await knex.schema.createTable(TABLES.orders, (table) => {
    table.increments('id')
    table.integer('user_id').notNullable().index()
    table.string('item', 64).notNullable()
  })
}

/** What a payment service might say, in the middle of a request. */
class PaymentRefused extends Error {}

const ITEMS = ['Teapot', 'Notebook', 'Lamp', 'Kettle', 'Atlas']
/** How many of the newest orders are shown. */
const SHOWN = 4

export function ordersPanel({ knex, live }, store) {
  const work = unitOfWork(knex, { session: 'atomic' })
  const routes = Router()

  /** What the two tables hold: read from the database, not from the request. */
  routes.get('/orders', async (req, res) => {
    const { userId } = req.session
    if (userId === undefined) return res.json({ user: null, orders: [], session: null })
    const orders = await knex(TABLES.orders).where({ user_id: userId }).orderBy('id', 'desc').limit(SHOWN)
    const { cookie, ...session } = (await store.get(req.sessionID)) ?? {}
    res.json({ user: session.name, orders, session })
  })

  routes.post('/orders', work.middleware(), async (req, res) => {
    const userId = ownerOf(req)
    res.once('finish', () => live.publish('row'))
    const item = ITEMS[Math.floor(Math.random() * ITEMS.length)]
    await work.db(TABLES.orders).insert({ user_id: userId, item })
    req.session.ordersPlaced = (req.session.ordersPlaced ?? 0) + 1
    req.session.lastItem = item
    // Written before the failure: a store outside of the transaction would keep it.
    await new Promise((resolve, reject) => req.session.save((error) => (error ? reject(error) : resolve())))
    if (req.body?.fails) throw new PaymentRefused(item)
    res.json({ item, isKept: true })
  })

  routes.use(work.errorMiddleware())
  // Rolled back by now, whatever the response is.
  routes.use((error, _req, res, next) => {
    if (!(error instanceof PaymentRefused) || res.headersSent) return next(error)
    res.json({ item: error.message, isKept: false })
  })
  return routes
}
