// A visitor's way through a small application, over real HTTP, then once more after a restart: node server.mjs KNEX_CONFIG NODE_VERSION
import assert from 'node:assert/strict'
import { once } from 'node:events'
import express from 'express'
import session from 'express-session'
import createKnex from 'knex'
import { KnexSessionStore } from 'knex-session-store'

const [config, version] = process.argv.slice(2)
assert.ok(process.version.startsWith(version), `this is Node ${process.version}`)

async function run(visit) {
  const knex = createKnex(JSON.parse(config))
  const store = new KnexSessionStore({ knex })
  const app = express()
  app.use(session({ store, secret: 'a secret of the check', resave: false, saveUninitialized: false, cookie: { maxAge: 60_000 } }))
  app.get('/', (req, res) => {
    req.session.visits = (req.session.visits ?? 0) + 1
    res.json({ visits: req.session.visits })
  })
  app.get('/leave', (req, res, next) => {
    req.session.destroy((error) => (error ? next(error) : res.json({ left: true })))
  })
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  await visit(`http://127.0.0.1:${server.address().port}`)
  server.close()
  server.closeAllConnections()
  await store.close()
  await knex.destroy()
}

let cookie = ''

async function get(url) {
  const response = await fetch(url, { headers: { cookie } })
  assert.equal(response.status, 200)
  const [set] = response.headers.getSetCookie()
  if (set) cookie = set.split(';')[0]
  return response.json()
}

await run(async (url) => {
  assert.deepEqual(await get(url), { visits: 1 })
  assert.match(cookie, /^connect\.sid=/)
  assert.deepEqual(await get(url), { visits: 2 })
})
await run(async (url) => {
  assert.deepEqual(await get(url), { visits: 3 })
  assert.deepEqual(await get(`${url}/leave`), { left: true })
  assert.deepEqual(await get(url), { visits: 1 })
})
console.log('done')
