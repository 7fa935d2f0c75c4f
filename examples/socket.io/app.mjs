// Socket.IO: the handshake shares the session of the pages, and a log-out everywhere disconnects the sockets of the user.
import { createServer } from 'node:http'
import express from 'express'
import session from 'express-session'
import knex from 'knex'
import { KnexSessionStore } from 'knex-session-store'
import { Server } from 'socket.io'

const db = knex({ client: 'better-sqlite3', connection: { filename: 'sessions.sqlite' }, useNullAsDefault: true })
const store = new KnexSessionStore({ knex: db, owner: (session) => session.name, onError: (error) => console.error(error.message) })
const sessions = session({ store, secret: process.env.SESSION_SECRET ?? 'only for this example', resave: false, saveUninitialized: false })

const app = express()
const server = createServer(app)
const io = new Server(server)
app.use(express.urlencoded({ extended: false }))
app.use(sessions)
// The same middleware for the requests of Socket.IO: socket.request.session is then the session of the handshake.
io.engine.use(sessions)

io.use((socket, next) => next(socket.request.session.name === undefined ? new Error('Nobody is signed in.') : undefined))
io.on('connection', (socket) => {
  const { session } = socket.request
  // Rooms by which the log-outs below find the sockets. Do not send the session id to anybody.
  socket.join([`session:${session.id}`, `user:${session.name}`])
  const ifAlive = (next) => session.reload((error) => (error ? socket.disconnect() : next?.()))
  // A log-out during the handshake has not found this socket in its rooms.
  ifAlive()
  // A socket may live for days, and its session is as old as the handshake. Before each event: is the session alive, and what is in it now?
  socket.use((_event, next) => ifAlive(next))
  socket.on('whoami', (reply) => {
    // reload() has made a new session, which is in socket.request.
    const { name, visits } = socket.request.session
    reply({ name, visits })
  })
})

app.get('/', (req, res) => {
  const { name } = req.session
  if (name === undefined) return res.send('Nobody is signed in.\n')
  req.session.visits += 1
  res.send(`Hello ${name}, visit number ${req.session.visits}.\n`)
})

app.post('/sign-in', (req, res, next) => {
  const name = String(req.body.name ?? '').trim()
  if (name === '' || name.length > 255) return res.status(400).send('a name of 1 to 255 characters, please\n')
  // Check the password here. Then a new id: one that was planted before the sign-in is of no use.
  req.session.regenerate((error) => {
    if (error) return next(error)
    Object.assign(req.session, { name, visits: 0 })
    res.redirect(303, '/')
  })
})

app.post('/log-out', (req, res, next) => {
  const { id } = req.session
  req.session.destroy((error) => {
    if (error) return next(error)
    io.in(`session:${id}`).disconnectSockets()
    res.clearCookie('connect.sid').redirect(303, '/')
  })
})

app.post('/log-out-everywhere', async (req, res) => {
  const { name } = req.session
  if (name !== undefined) {
    // First the sessions, then the sockets: a socket that connects again in between finds no session.
    await store.destroyOwner(name)
    io.in(`user:${name}`).disconnectSockets()
  }
  res.clearCookie('connect.sid').redirect(303, '/')
})

server.listen(process.env.PORT ?? 3000, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`))
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    // Closes the HTTP server too.
    await io.close()
    await store.close()
    await db.destroy()
  })
}
