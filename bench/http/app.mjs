// The measured application: Express, express-session, one signed-in page. A child process that obeys the commands of http/run.mjs.
import express from 'express'
import session from 'express-session'
import { answer } from '../child.mjs'
import { preload } from '../measure.mjs'
import { payloads, sessionId } from '../session.mjs'
import { findStore } from '../stores/index.mjs'
import { secret } from './cookies.mjs'

let opened
let server

answer({
  /** Answers the port. Without `store`: the same application with no sessions. */
  async open({ store, context, rows, payload }) {
    const app = express()
    if (store) {
      opened = await findStore(store).open(context)
      await preload(
        opened.store,
        Array.from({ length: rows }, (_, index) => sessionId(index)),
        payloads[payload]
      )
      app.use(session({ store: opened.store, secret, resave: false, saveUninitialized: false, cookie: { maxAge: 86_400_000 } }))
      app.get('/', (req, res) => {
        if (req.session.user) res.send(page(req.session.user))
        else res.status(401).send('Sign in first')
      })
    } else {
      app.get('/', (_req, res) => res.send(page(4711)))
    }
    await new Promise((resolve) => {
      server = app.listen(0, '127.0.0.1', resolve)
    })
    return server.address().port
  },
  cpuMicros() {
    const { user, system } = process.cpuUsage()
    return user + system
  },
  async close() {
    server.close()
    server.closeAllConnections()
    await opened?.close()
  }
})

function page(user) {
  return `<!doctype html><title>Your account</title><h1>Good morning</h1><p>You are signed in as number ${user}.</p>`
}
