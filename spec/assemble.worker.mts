import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import session, { type SessionData } from 'express-session'
import createKnex, { type Knex } from 'knex'
import { KnexSessionStore } from 'knex-session-store'
import type { Worker } from './support/processes.ts'

export interface Input {
  readonly config: Knex.Config
  readonly does: 'builds many apps and forgets them' | 'serves, and closes its Knex alone'
}

export interface Output {
  /** Of the stores that were forgotten, how many are still in memory. */
  readonly kept?: number
  readonly warnings: string[]
  /** When the work was done, in milliseconds since the epoch; the process ends by itself after it. */
  readonly doneAt: number
}

const APPS = 10_000

export default (async ({ config, does }) => {
  const warnings: string[] = []
  process.on('warning', (warning) => warnings.push(warning.message))
  const knex = createKnex(config)
  const kept = does.startsWith('builds') ? await buildAndForget(knex) : await serve(knex)
  await knex.destroy()
  return { ...(kept === undefined ? {} : { kept }), warnings, doneAt: Date.now() }
}) satisfies Worker<Input, Output>

async function buildAndForget(knex: Knex): Promise<number> {
  const stores: WeakRef<KnexSessionStore>[] = []
  for (let number = 0; number < APPS; number++) {
    const store = new KnexSessionStore({ knex })
    const app = express().use(session({ store, secret: 'secret', resave: false, saveUninitialized: false }))
    stores.push(new WeakRef(store))
    // Some are used, so that they share in pruning; none is closed.
    if (number % 20 === 0) await store.get('any')
    if (number % 100 === 0) await store.withTransaction(await startedTransaction(knex)).get('any')
    app.disable('etag')
  }
  for (let round = 0; round < 5; round++) {
    ;(globalThis as { gc?: () => void }).gc?.()
    await new Promise((resolve) => setImmediate(resolve))
  }
  return stores.filter((store) => store.deref() !== undefined).length
}

async function startedTransaction(knex: Knex): Promise<Knex.Transaction> {
  const trx = await knex.transaction()
  setImmediate(() => trx.rollback())
  return trx
}

/** Everything an application does, but for closing its store. */
async function serve(knex: Knex): Promise<undefined> {
  const store = new KnexSessionStore({ knex })
  const app = express()
  app.use(session({ store, secret: 'secret', resave: false, saveUninitialized: false }))
  app.get('/', (request, response) => {
    const visits = request.session as SessionData & { visits?: number }
    visits.visits = (visits.visits ?? 0) + 1
    response.send(String(visits.visits))
  })
  const server = createServer(app).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const response = await fetch(url, { headers: { connection: 'close' } })
  await response.text()
  await store.prune()
  await new Promise((resolve) => server.close(resolve))
  return undefined
}
