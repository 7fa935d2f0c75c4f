// Fastify with @fastify/session: sign in, log out, log out everywhere.
import fastifyCookie from '@fastify/cookie'
import fastifyForm from '@fastify/formbody'
import fastifySession from '@fastify/session'
import fastify from 'fastify'
import knex from 'knex'
import { KnexSessionStore } from 'knex-session-store'

const db = knex({ client: 'better-sqlite3', connection: { filename: 'sessions.sqlite' }, useNullAsDefault: true })
const store = new KnexSessionStore({
  knex: db,
  owner: (session) => session.name,
  // Fastify does not pass the request to the store, so the sign-in puts what `details` needs into the session.
  details: (session) => ({ agent: session.agent }),
  onError: (error) => console.error(error.message)
})

const app = fastify()
await app.register(fastifyForm)
// @fastify/session needs this plugin, and fails without it.
await app.register(fastifyCookie)
await app.register(fastifySession, {
  store,
  // At least 32 characters.
  secret: process.env.SESSION_SECRET ?? 'only for this example, and long enough for Fastify',
  saveUninitialized: false,
  // The default of @fastify/session is secure: over plain HTTP it would then set no cookie and save nothing.
  cookie: { secure: process.env.NODE_ENV === 'production', sameSite: 'lax', maxAge: 7 * 24 * 3_600_000 }
})

app.get('/', async (request) => {
  const { name } = request.session
  if (name === undefined) return 'Nobody is signed in.\n'
  request.session.visits += 1
  return `Hello ${name}, visit number ${request.session.visits}.\n`
})

app.post('/sign-in', async (request, reply) => {
  const name = String(request.body?.name ?? '').trim()
  if (name === '' || name.length > 255) return reply.code(400).send('a name of 1 to 255 characters, please\n')
  // Check the password here. Then a new id: one that was planted before the sign-in is of no use.
  await request.session.regenerate()
  // regenerate() has replaced request.session: do not keep the old one in a variable.
  Object.assign(request.session, { name, visits: 0, agent: request.headers['user-agent'] })
  return reply.redirect('/', 303)
})

app.get('/devices', async (request, reply) => {
  const { name } = request.session
  if (name === undefined) return reply.code(401).send('Nobody is signed in.\n')
  const devices = await store.ofOwner(name, { current: request.session.sessionId })
  return devices.map(({ isCurrent, details }) => ({ isCurrent, details }))
})

app.post('/log-out', async (request, reply) => {
  await request.session.destroy()
  return reply.clearCookie('sessionId', { path: '/' }).redirect('/', 303)
})

app.post('/log-out-everywhere', async (request, reply) => {
  const { name } = request.session
  if (name !== undefined) await store.destroyOwner(name)
  await request.session.destroy()
  return reply.clearCookie('sessionId', { path: '/' }).redirect('/', 303)
})

app.addHook('onClose', async () => {
  await store.close()
  await db.destroy()
})

console.log(await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT ?? 3000) }))
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => app.close())
