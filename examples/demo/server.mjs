// The demo: one page on which you see what the store does, and can cause it. npm start, or DATABASE_URL=postgres://… npm start
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import express from 'express'
import { openContenders } from './contenders.mjs'
import { openDatabase } from './database.mjs'
import { openDevices } from './devices.mjs'
import { switchedEncryption } from './encryption.mjs'
import { notFound, ownOriginOnly, respondToErrors, secureHeaders } from './guards.mjs'
import { Live } from './live.mjs'
import { loadPanel } from './panels/load.mjs'
import { makeOrders } from './panels/orders.mjs'
import { racesPanel } from './panels/races.mjs'
import { openShop } from './shop.mjs'
import { seedUsers } from './users.mjs'

const port = Number(process.env.PORT ?? 3000)

/** What has to be closed, in the order in which it was opened. */
const opened = []
function open(part) {
  opened.push(part)
  return part
}

async function start() {
  const database = open(openDatabase(process.env.DATABASE_URL))
  const { knex } = database
  const name = await database.name()
  await seedUsers(knex)
  await makeOrders(knex)

  const shops = {}
  for (const [key, contender] of Object.entries(await openContenders(database))) shops[key] = open(await openShop(contender))
  const live = new Live()
  const devices = open(openDevices({ knex, live, encryption: switchedEncryption() }))
  await devices.ready()
  const load = loadPanel({ database, live, shops })

  const app = express()
  app.disable('x-powered-by')
  app.use(secureHeaders, ownOriginOnly)
  app.get('/favicon.ico', (_req, res) => res.status(204).end())
  app.get('/events', live.stream)
  app.get('/about', (_req, res) => {
    const names = Object.fromEntries(Object.entries(shops).map(([key, shop]) => [key, shop.name]))
    const { kind, place, cannot } = database
    res.json({ database: name, kind, place, shops: names, cannot })
  })
  const page = fileURLToPath(new URL('./page', import.meta.url))
  app.use(express.static(page, { index: 'page.html' }))
  app.use(express.json())
  app.use(devices.routes, racesPanel({ shops }), load.routes)
  app.use(notFound, respondToErrors)

  const server = app.listen(port, '127.0.0.1')
  await once(server, 'listening')
  open({
    async close() {
      const closed = once(server, 'close')
      server.close()
      await load.close()
      live.close()
      server.closeIdleConnections()
      await closed
    }
  })
  console.log(
    `knex-session-store, live on ${name} (${database.place})\n\n  http://127.0.0.1:${server.address().port}\n\nStop it with Ctrl-C.`
  )
}

/** First what takes requests, last what they need: the page, the devices' stores, the shops with theirs, the database. */
async function stop() {
  for (const part of opened.splice(0).reverse()) await part.close()
}

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, stop)

try {
  await start()
} catch (error) {
  console.error(
    error.code === 'EADDRINUSE'
      ? `Port ${port} is taken. Try: PORT=${port + 1} npm start`
      : `The demo could not start. ${error.message || error.code}`
  )
  await stop()
  process.exitCode = 1
}
