// A page can be several devices: each has a session cookie of its own, for paths of its own.
import { Router } from 'express'
import session from 'express-session'
import { KnexSessionStore } from 'knex-session-store'
import { TABLES } from './database.mjs'
import { devicesPanel } from './panels/devices.mjs'
import { ordersPanel } from './panels/orders.mjs'
import { rowPanel } from './panels/row.mjs'

const DEVICES = [1, 2, 3]

export function openDevices({ knex, live, encryption }) {
  const routes = Router()
  const stores = []
  for (const number of DEVICES) {
    // A store for each session(): express-session writes its settings into the store. They share the table, and all that is costly.
    const store = new KnexSessionStore({
      knex,
      tableName: TABLES.sessions,
      owner: ({ userId }) => userId,
      details: (_session, req) => ({ device: number, agent: req?.get('user-agent'), address: req?.ip }),
      codec: encryption.codec,
      onError: (error) => console.error(error.message)
    })
    stores.push(store)
    const path = `/device/${number}`
    routes.use(
      path,
      session({
        store,
        name: `device-${number}`,
        // Of your own application: a secret from its configuration, and `secure: true` behind https.
        secret: 'only for this demo, on your own machine',
        resave: false,
        saveUninitialized: false,
        cookie: { path, maxAge: 24 * 3_600_000, sameSite: 'strict', httpOnly: true }
      }),
      rowPanel({ knex, encryption, live }),
      ordersPanel({ knex, live }, store),
      devicesPanel({ knex, live }, store)
    )
  }
  return { routes, ready: () => stores[0].ready(), close: () => Promise.all(stores.map((store) => store.close())) }
}
