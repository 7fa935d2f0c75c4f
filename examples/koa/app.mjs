// Koa with koa-session: a basket that survives the sign-in, log out, log out everywhere.
import { bodyParser } from '@koa/bodyparser'
import knex from 'knex'
import { KnexSessionStore } from 'knex-session-store'
import Koa from 'koa'
import session from 'koa-session'
import { forKoa } from './for-koa.mjs'

const db = knex({ client: 'better-sqlite3', connection: { filename: 'sessions.sqlite' }, useNullAsDefault: true })
const store = new KnexSessionStore({ knex: db, owner: (session) => session.name, onError: (error) => console.error(error.message) })

const app = new Koa()
app.keys = [process.env.SESSION_SECRET ?? 'only for this example']
// koa-session clears the session id on log-out, and makes no session for a visitor who has put nothing into theirs.
app.use(session({ store: forKoa(store), key: 'session', sameSite: 'lax', maxAge: 7 * 24 * 3_600_000 }, app))
app.use(bodyParser())

const pages = {
  'GET /'(ctx) {
    const { name, basket } = ctx.session
    ctx.body = `${name === undefined ? 'Nobody is signed in' : `Hello ${name}`}, ${basket?.items.length ?? 0} in the basket.\n`
  },

  'POST /basket'(ctx) {
    ctx.session.basket ??= { items: [] }
    ctx.session.basket.items.push(String(ctx.request.body.item))
    ctx.redirect('/')
  },

  async 'POST /sign-in'(ctx) {
    const name = String(ctx.request.body.name ?? '').trim()
    if (name === '' || name.length > 255) ctx.throw(400, 'a name of 1 to 255 characters, please')
    // Check the password here. Then a new id: one that was planted before the sign-in is of no use.
    // regenerate() keeps what is in the session. Assigning to ctx.session would keep the id instead.
    await ctx.session.regenerate()
    ctx.session.name = name
    ctx.redirect('/')
  },

  'POST /log-out'(ctx) {
    ctx.session = null
    ctx.redirect('/')
  },

  async 'POST /log-out-everywhere'(ctx) {
    if (ctx.session.name !== undefined) await store.destroyOwner(ctx.session.name)
    ctx.session = null
    ctx.redirect('/')
  }
}
app.use((ctx) => pages[`${ctx.method} ${ctx.path}`]?.(ctx))

const server = app.listen(process.env.PORT ?? 3000, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`))
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    server.close(async () => {
      await store.close()
      await db.destroy()
    })
  })
}
