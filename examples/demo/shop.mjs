// A small shop on a store: the same application for each of the stores that are shown side by side, each on a port of its own.
import { once } from 'node:events'
import express from 'express'
import session from 'express-session'
import { Gates } from './gates.mjs'

export async function openShop({ name, store, statements, close }) {
  const gates = new Gates()
  const app = express()
  app.disable('x-powered-by')
  // Of your own application: a secret from its configuration, and `secure: true` behind https.
  app.use(
    session({ store, name: 'shop', secret: 'only for this demo', resave: false, saveUninitialized: false, cookie: { maxAge: 3_600_000 } })
  )

  app.post('/sign-in', (req, res, next) => {
    req.session.regenerate((error) => {
      if (error) return next(error)
      req.session.user = 'ada'
      res.json({ user: 'ada' })
    })
  })

  app.post('/sign-out', (req, res, next) => {
    req.session.destroy((error) => (error ? next(error) : res.json({ user: null })))
  })

  /** What most requests are: a page that reads the session. */
  app.get('/page', (req, res) => {
    res.json({ user: req.session.user ?? null, keys: Object.keys(req.session) })
  })

  /** A page that changes the session. With `gate` it is slow: it ends when the gate is opened. */
  app.post('/change', async (req, res) => {
    const { key, gate } = req.query
    if (gate !== undefined) await gates.wait(gate)
    req.session[key] = Date.now()
    res.json({ user: req.session.user ?? null })
  })

  app.use((error, _req, res, next) => {
    console.error(`${name}: ${error.message}`)
    if (res.headersSent) return next(error)
    res.status(500).json({ message: error.message })
  })

  const server = app.listen(0, '127.0.0.1')
  // An idle connection that the server ends just as the next request leaves would count as an error of the store.
  server.keepAliveTimeout = 0
  await once(server, 'listening')
  return {
    name,
    store,
    statements,
    gates,
    address: `http://127.0.0.1:${server.address().port}`,
    async close() {
      server.close()
      server.closeIdleConnections()
      await once(server, 'close')
      await close()
    }
  }
}
