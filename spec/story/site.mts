import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import express from 'express'
import session, { type Store } from 'express-session'
import type { Knex } from 'knex'

/** The one factory of the story: every app is built by it, as many as there are tests. */
export function makeSite(knex: Knex, makeStore: (knex: Knex) => Store): RequestListener {
  const app = express()
  app.use(session({ store: makeStore(knex), secret: 'of the story', resave: false, saveUninitialized: false }))
  app.post('/login/:name', (request, response) => {
    Object.assign(request.session, { name: request.params.name })
    response.end()
  })
  app.get('/whoami', (request, response) => {
    response.end((request.session as unknown as { name?: string }).name ?? 'nobody')
  })
  return app
}

/** Two real requests of one visitor, of whom the second has to know what the first said. */
export async function visit(app: RequestListener, name: string): Promise<string> {
  const server = createServer(app).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  try {
    const login = await fetch(`http://127.0.0.1:${port}/login/${name}`, { method: 'POST' })
    await login.arrayBuffer()
    const cookie = login.headers.getSetCookie()[0]?.split(';')[0] ?? ''
    const answer = await fetch(`http://127.0.0.1:${port}/whoami`, { headers: { cookie } })
    return await answer.text()
  } finally {
    server.close()
    server.closeAllConnections()
  }
}

/** The same in every run, and in an order that nobody chose. */
export function shuffled<T>(items: readonly T[], seed: number): T[] {
  const keyed = items.map((item, index) => ({ item, key: Math.sin((index + 1) * 12.9898 + seed * 78.233) * 43_758.5453 }))
  return keyed.sort((a, b) => (a.key % 1) - (b.key % 1)).map(({ item }) => item)
}
