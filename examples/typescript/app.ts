// TypeScript with every strict setting: the types of the session, of `owner` and `details`, of events and of errors.
import type { AddressInfo } from 'node:net'
import express, { type ErrorRequestHandler } from 'express'
import session from 'express-session'
import createKnex from 'knex'
import { KnexSessionStore, type OwnedSession, SessionStoreError, TimeoutError } from 'knex-session-store'

// What the sessions of this application hold, once for the whole program.
declare module 'express-session' {
  interface SessionData {
    user: { id: number; name: string }
    visits: number
  }
}

const knex = createKnex({ client: 'better-sqlite3', connection: { filename: 'sessions.sqlite' }, useNullAsDefault: true })
const store = new KnexSessionStore({
  knex,
  // `session` is Partial<SessionData>: the session of a visitor who is not signed in has no user.
  owner: (session) => session.user?.id,
  details: (_session, req) => ({ agent: req?.get('user-agent') ?? null }),
  onError: (error) => console.error(error)
})
store.on('conflict', ({ policy, keys }) => console.error(`two requests changed ${keys.join(', ')} of one session (${policy})`))

const app = express()
app.use(express.urlencoded({ extended: false }))
app.use(session({ store, secret: process.env.SESSION_SECRET ?? 'only for this example', resave: false, saveUninitialized: false }))

app.get('/', (req, res) => {
  const { user, visits = 0 } = req.session
  if (user === undefined) return void res.send('Nobody is signed in.\n')
  req.session.visits = visits + 1
  res.send(`Hello ${user.name}, visit number ${req.session.visits}.\n`)
})

app.post('/sign-in', (req, res, next) => {
  const { name }: { name?: unknown } = req.body
  if (typeof name !== 'string' || name === '') return void res.status(400).send('a name, please\n')
  // Check the password here. Then a new id: one that was planted before the sign-in is of no use.
  req.session.regenerate((error: unknown) => {
    if (error) return next(error)
    req.session.user = { id: 7, name }
    res.redirect(303, '/')
  })
})

app.get('/devices', async (req, res) => {
  const { user } = req.session
  if (user === undefined) return void res.sendStatus(401)
  const devices: OwnedSession[] = await store.ofOwner(user.id, { current: req })
  res.json(devices.map(({ isCurrent, details, session }) => ({ isCurrent, details, visits: session?.visits })))
})

app.post('/log-out-everywhere', async (req, res) => {
  if (req.session.user !== undefined) await store.destroyOwner(req.session.user.id)
  res.clearCookie('connect.sid').redirect(303, '/')
})

const onError: ErrorRequestHandler = (error: unknown, _req, res, next) => {
  console.error(error instanceof SessionStoreError ? `${error.code}: ${error.message}` : error)
  if (res.headersSent) return next(error)
  res.status(error instanceof TimeoutError ? 503 : 500).send('Something went wrong; it is in the log of the server.\n')
}
app.use(onError)

const server = app.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
})
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    server.close(async () => {
      await store.close()
      await knex.destroy()
    })
  })
}
