// A custom server of Next.js: Express loads the session, and the pages of Next.js find it in their `req`.
import express from 'express'
import session from 'express-session'
import knex from 'knex'
import { KnexSessionStore } from 'knex-session-store'
import next from 'next'

const db = knex({ client: 'better-sqlite3', connection: { filename: 'sessions.sqlite' }, useNullAsDefault: true })
const store = new KnexSessionStore({ knex: db, owner: (session) => session.name, onError: (error) => console.error(error.message) })
const site = next({ dev: process.env.NODE_ENV !== 'production' })
const pages = site.getRequestHandler()
await site.prepare()

const app = express()
// The scripts and styles of Next.js need no session. Without this line each of them loads one.
app.use('/_next', (req, res) => pages(req, res))
app.use(session({ store, secret: process.env.SESSION_SECRET ?? 'only for this example', resave: false, saveUninitialized: false }))

// Sign-in and log-out are here rather than in pages/api: a server action or an API route of its own bundle could not import this store.
app.post('/sign-in', express.urlencoded({ extended: false }), (req, res, next) => {
  const name = String(req.body?.name ?? '').trim()
  if (name === '' || name.length > 255) return res.status(400).send('a name of 1 to 255 characters, please\n')
  // Check the password here. Then a new id: one that was planted before the sign-in is of no use.
  req.session.regenerate((error) => {
    if (error) return next(error)
    req.session.name = name
    res.redirect(303, '/')
  })
})

app.post('/log-out', (req, res, next) => {
  req.session.destroy((error) => {
    if (error) return next(error)
    res.clearCookie('connect.sid').redirect(303, '/')
  })
})

app.post('/log-out-everywhere', async (req, res) => {
  if (req.session.name !== undefined) await store.destroyOwner(req.session.name)
  res.clearCookie('connect.sid').redirect(303, '/')
})

app.use((req, res) => pages(req, res))

const server = app.listen(process.env.PORT ?? 3000, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`))
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    server.close(async () => {
      await site.close()
      await store.close()
      await db.destroy()
    })
  })
}
