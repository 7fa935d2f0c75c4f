// A small real application: register by name, count visits, log out. Sessions are in an SQLite file beside this one and survive a restart,
// or on PostgreSQL, with DATABASE_URL and `npm install pg`.
import { fileURLToPath } from 'node:url'
import express from 'express'
import session from 'express-session'
import knex from 'knex'
import { KnexSessionStore } from 'knex-session-store'
import { page } from './page.mjs'

const port = Number(process.env.PORT ?? 3000)
const file = process.env.SESSIONS_FILE ?? fileURLToPath(new URL('./sessions.sqlite', import.meta.url))

const url = process.env.DATABASE_URL
const db = url
  ? knex({ client: 'pg', connection: url })
  : knex({ client: 'better-sqlite3', connection: { filename: file }, useNullAsDefault: true })
const store = new KnexSessionStore({ knex: db, owner: (session) => session.name, onError: (error) => console.error(error.message) })

const app = express()
// Before session(): what needs no session should not load one.
app.get('/favicon.ico', (_req, res) => res.status(204).end())
app.use(express.urlencoded({ extended: false }))
app.use(
  session({
    store,
    name: 'visit',
    // Of your own application: a secret from its configuration, and `secure: true` behind https.
    secret: process.env.SESSION_SECRET ?? 'only for this example, on your own machine',
    resave: false,
    saveUninitialized: false,
    cookie: { maxAge: 7 * 24 * 3_600_000, sameSite: 'lax' }
  })
)

app.get('/', (req, res) => {
  if (req.session.name !== undefined) req.session.visits = (req.session.visits ?? 0) + 1
  answer(req, res)
})

app.post('/register', (req, res, next) => {
  const name = String(req.body?.name ?? '').trim()
  // The name is the owner of the session, and the column owner_id holds 255 characters.
  if (name === '' || name.length > 255) return res.status(400).type('text').send('a name of 1 to 255 characters, please: name=Ada\n')
  // A new id for who signs in: one that was planted before is of no use.
  req.session.regenerate((error) => {
    if (error) return next(error)
    req.session.name = name
    req.session.visits = 0
    // No req.session.save() first: the next request of this session waits for its writes, if it comes to this process.
    res.redirect(303, '/')
  })
})

app.post('/logout', (req, res, next) => {
  req.session.destroy((error) => {
    if (error) return next(error)
    res.clearCookie('visit').redirect(303, '/')
  })
})

app.use((error, _req, res, next) => {
  console.error(error.message)
  // express-session sends the response and then says that the session could not be saved. Express closes the connection.
  if (res.headersSent) return next(error)
  res.status(500).type('text').send('Something went wrong; it is in the log of the server.\n')
})

function answer(req, res) {
  const { name, visits } = req.session
  if (req.accepts(['text', 'html']) === 'html') return res.type('html').send(page(name, visits))
  res.type('text').send(name === undefined ? 'Nobody is signed in.\n' : `Hello ${name}, visit number ${visits}.\n`)
}

const server = app.listen(port, '127.0.0.1', (error) => {
  if (error) {
    console.error(error.code === 'EADDRINUSE' ? `Port ${port} is taken; try PORT=${port + 1} npm start` : error.message)
    process.exit(1)
  }
  const address = `http://127.0.0.1:${server.address().port}`
  console.log(`Listening on ${address} (sessions ${url ? 'on PostgreSQL' : `in ${file}`})

Open it in a browser, or try:
  curl -c jar -b jar -L -d name=Ada ${address}/register
  curl -c jar -b jar ${address}
  curl -c jar -b jar -X POST ${address}/logout
Stop it with Ctrl-C, start it again, and you are still signed in.`)
})

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    server.close(async () => {
      await store.close()
      await db.destroy()
    })
    server.closeIdleConnections()
  })
}
