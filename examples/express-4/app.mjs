// Express 4: sign in, your devices, log out, log out everywhere. Express 4 does not see the promise of an async handler, so `caught` does.
import { promisify } from 'node:util'
import express from 'express'
import session from 'express-session'
import knex from 'knex'
import { KnexSessionStore } from 'knex-session-store'

const db = knex({ client: 'better-sqlite3', connection: { filename: 'sessions.sqlite' }, useNullAsDefault: true })
const store = new KnexSessionStore({
  knex: db,
  owner: (session) => session.name,
  details: (_session, req) => ({ agent: req?.get('user-agent') }),
  onError: (error) => console.error(error.message)
})

/** Without it an error in an async handler is an unhandled rejection, which ends the process. */
const caught = (handler) => (req, res, next) => handler(req, res, next).catch(next)

const app = express()
app.use(express.urlencoded({ extended: false }))
app.use(session({ store, secret: process.env.SESSION_SECRET ?? 'only for this example', resave: false, saveUninitialized: false }))

app.get('/', (req, res) => {
  const { name } = req.session
  if (name === undefined) return res.send('Nobody is signed in.\n')
  req.session.visits += 1
  res.send(`Hello ${name}, visit number ${req.session.visits}.\n`)
})

app.post(
  '/sign-in',
  caught(async (req, res) => {
    const name = String(req.body.name ?? '').trim()
    if (name === '' || name.length > 255) return res.status(400).send('a name of 1 to 255 characters, please\n')
    // Check the password here. Then a new id: one that was planted before the sign-in is of no use.
    await promisify(req.session.regenerate).call(req.session)
    Object.assign(req.session, { name, visits: 0 })
    res.redirect(303, '/')
  })
)

app.get(
  '/devices',
  caught(async (req, res) => {
    const { name } = req.session
    if (name === undefined) return res.sendStatus(401)
    const devices = await store.ofOwner(name, { current: req })
    res.json(devices.map(({ isCurrent, details }) => ({ isCurrent, details })))
  })
)

app.post(
  '/log-out',
  caught(async (req, res) => {
    await promisify(req.session.destroy).call(req.session)
    res.clearCookie('connect.sid').redirect(303, '/')
  })
)

app.post(
  '/log-out-everywhere',
  caught(async (req, res) => {
    if (req.session.name !== undefined) await store.destroyOwner(req.session.name)
    res.clearCookie('connect.sid').redirect(303, '/')
  })
)

app.get(
  '/broken',
  caught(async () => {
    throw new Error('thrown to show where the error of an async handler goes: to the handler below')
  })
)

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
      await db.destroy()
    })
  })
}
