// Passport with the local strategy: sign in, log out, log out everywhere.
import { scryptSync, timingSafeEqual } from 'node:crypto'
import express from 'express'
import session from 'express-session'
import knex from 'knex'
import { KnexSessionStore } from 'knex-session-store'
import passport from 'passport'
import { Strategy as LocalStrategy } from 'passport-local'

const db = knex({ client: 'better-sqlite3', connection: { filename: 'sessions.sqlite' }, useNullAsDefault: true })
// Passport keeps what `serializeUser` returns in session.passport.user.
const store = new KnexSessionStore({
  knex: db,
  owner: (session) => session.passport?.user,
  onError: (error) => console.error(error.message)
})

// Of your own application: a table of users, and a salt for each.
const hashOf = (password) => scryptSync(password, 'a salt for this example', 32)
const users = [{ id: 7, name: 'ada', passwordHash: hashOf('lovelace') }]

passport.use(
  new LocalStrategy({ usernameField: 'name' }, (name, password, done) => {
    const user = users.find((user) => user.name === name)
    done(null, user !== undefined && timingSafeEqual(user.passwordHash, hashOf(password)) ? user : false)
  })
)
passport.serializeUser((user, done) => done(null, user.id))
// `false` for a user that is no more: Passport then takes the visitor for not signed in.
passport.deserializeUser((id, done) => done(null, users.find((user) => user.id === id) ?? false))

const app = express()
app.use(express.urlencoded({ extended: false }))
app.use(session({ store, secret: process.env.SESSION_SECRET ?? 'only for this example', resave: false, saveUninitialized: false }))
app.use(passport.authenticate('session'))

app.get('/', (req, res) => {
  res.send(req.user === undefined ? 'Nobody is signed in.\n' : `Hello ${req.user.name}.\n`)
})

// Since 0.6 Passport regenerates the session itself, at the sign-in and at the log-out.
app.post('/sign-in', passport.authenticate('local', { failureRedirect: '/sign-in' }), (_req, res) => res.redirect(303, '/'))
app.get('/sign-in', (_req, res) => res.status(401).send('The name or the password is wrong.\n'))

app.post('/log-out', (req, res, next) => {
  req.logout((error) => (error ? next(error) : res.redirect(303, '/')))
})

app.post('/log-out-everywhere', async (req, res, next) => {
  // To keep this session, as after a change of the password: destroyOwner(req.user.id, { except: req }), and no req.logout().
  if (req.user !== undefined) await store.destroyOwner(req.user.id)
  req.logout((error) => (error ? next(error) : res.redirect(303, '/')))
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
