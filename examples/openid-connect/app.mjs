// express-openid-connect with its sessions in the database: sign in at the issuer, log out, log out everywhere, and log out from the issuer.
import express from 'express'
import openid from 'express-openid-connect'
import knex from 'knex'
import { KnexSessionStore } from 'knex-session-store'

const { auth, requiresAuth } = openid
const port = process.env.PORT ?? 3000
const db = knex({ client: 'better-sqlite3', connection: { filename: 'sessions.sqlite' }, useNullAsDefault: true })
const store = new KnexSessionStore({
  knex: db,
  // What the application sees as its session is under the key `data`; `afterCallback` below puts the user there.
  owner: (session) => session.data?.userId,
  onError: (error) => console.error(error.message)
})

const app = express()
app.use(
  auth({
    issuerBaseURL: process.env.ISSUER_BASE_URL ?? 'http://127.0.0.1:4000',
    baseURL: process.env.BASE_URL ?? `http://127.0.0.1:${port}`,
    clientID: 'recipe',
    clientSecret: process.env.CLIENT_SECRET ?? 'only for this example',
    secret: process.env.SESSION_SECRET ?? 'only for this example, and long enough',
    authRequired: false,
    authorizationParams: { response_type: 'code', scope: 'openid' },
    session: { store },
    // The issuer may end sessions too. What it says is kept in the same table, as sessions of nobody.
    backchannelLogout: { store },
    // A new session id at the sign-in is the doing of express-openid-connect.
    afterCallback: (req, _res, session) => ({ ...session, userId: req.oidc.user.sub })
  })
)

app.get('/', (req, res) => {
  if (!req.oidc.isAuthenticated()) return res.send('Nobody is signed in.\n')
  req.appSession.visits = (req.appSession.visits ?? 0) + 1
  res.send(`Hello ${req.oidc.user.sub}, visit number ${req.appSession.visits}.\n`)
})

// /login, /logout and /callback are routes of express-openid-connect.
app.post('/log-out-everywhere', requiresAuth(), async (req, res) => {
  await store.destroyOwner(req.oidc.user.sub)
  // Ends this session and clears its cookie.
  await res.oidc.logout({ returnTo: '/' })
})

app.use((error, _req, res, next) => {
  console.error(error.message)
  if (res.headersSent) return next(error)
  res.status(error.status ?? 500).send('Something went wrong; it is in the log of the server.\n')
})

const server = app.listen(port, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`))
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    server.close(async () => {
      await store.close()
      await db.destroy()
    })
  })
}
