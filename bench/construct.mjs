// What an application costs in time: node bench/construct.mjs [--apps=1000] [--rounds=5]
// Each application is a store on a shared Knex or pool and an Express app with express-session, as a test suite builds them.

import { parseArgs } from 'node:util'
import connectPgSimple from 'connect-pg-simple'
import { ConnectSessionKnexStore } from 'connect-session-knex'
import express from 'express'
import session from 'express-session'
import { spread } from './report/summary.mjs'
import { table } from './report/table.mjs'
import { startServers } from './servers/index.mjs'
import { makeKnex, pgPool } from './stores/connections.mjs'
import { loadStoreClass } from './stores/ours.mjs'

const { values } = parseArgs({ options: { apps: { type: 'string', default: '1000' }, rounds: { type: 'string', default: '5' } } })
const count = Number(values.apps)

const servers = await startServers(new Set(['pg']))
try {
  if (servers.pg.missing) throw new Error(servers.pg.missing)
  await main()
} finally {
  await servers.stop()
}

async function main() {
  const knex = makeKnex('pg', servers.pg.url)
  const pool = pgPool(servers.pg.url)
  const PgStore = connectPgSimple(session)
  const Ours = loadStoreClass()
  if (!Ours) console.log('left out: ours (dist/index.js exports no KnexSessionStore: npm run build)')
  const makers = {
    'no sessions': () => undefined,
    MemoryStore: () => new session.MemoryStore(),
    'connect-pg-simple': () =>
      new PgStore({ pool, tableName: 'bench_construct_a', createTableIfMissing: true, pruneSessionInterval: false }),
    'connect-session-knex': () => new ConnectSessionKnexStore({ knex, tableName: 'bench_construct_b', cleanupInterval: 0 }),
    ...(Ours && { ours: () => new Ours({ knex, tableName: 'bench_construct_c' }) })
  }
  // One of each before: the table is made, the code is warm.
  for (const make of Object.values(makers)) await firstAnswers(buildApps(make, 1))
  const results = new Map(Object.keys(makers).map((name) => [name, []]))
  const names = Object.keys(makers)
  for (let round = 0; round < Number(values.rounds); round++) {
    for (let turn = 0; turn < names.length; turn++) {
      const name = names[(turn + round) % names.length]
      results.get(name).push(await measureApps(makers[name]))
    }
  }
  print(results)
  await knex.destroy()
  await pool.end()
}

async function measureApps(make) {
  globalThis.gc?.()
  const statements = await servers.pg.statements()
  const start = performance.now()
  const stores = buildApps(make, count)
  const built = performance.now()
  await firstAnswers(stores)
  const answered = performance.now()
  // What a constructor started by itself and nobody waits for.
  await Promise.all(stores.map((store) => store?.ready instanceof Promise && store.ready))
  const sent = await servers.pg.statements()
  for (const store of stores) await store?.close?.()
  return { builtMs: built - start, answeredMs: answered - start, statements: sent === null ? null : sent - statements - 1 }
}

function buildApps(make, count) {
  return Array.from({ length: count }, () => {
    const store = make()
    const app = express()
    if (store) app.use(session({ store, secret: 'bench', resave: false, saveUninitialized: false }))
    app.get('/', (_req, res) => res.send('ok'))
    return store
  })
}

/** Each store's first `get`: from then on the application serves. */
function firstAnswers(stores) {
  return Promise.all(
    stores.map((store) => store && new Promise((resolve, reject) => store.get('nobody', (error) => (error ? reject(error) : resolve()))))
  )
}

function print(results) {
  const micros = (rounds, field) => spread(rounds.map((round) => (round[field] * 1000) / count))
  const rows = [...results].map(([name, rounds]) => {
    const [built, answered] = [micros(rounds, 'builtMs'), micros(rounds, 'answeredMs')]
    const statements = rounds.some((round) => round.statements === null) ? null : spread(rounds.map((round) => round.statements)).median
    return [
      name,
      ...[built, answered].flatMap(({ median, min, max }) => [median.toFixed(0), `${min.toFixed(0)}–${max.toFixed(0)}`]),
      String(statements ?? '–')
    ]
  })
  console.log(`${count} applications on one database, ${values.rounds} rounds, medians`)
  console.log(table(['store', 'construct µs/app', 'min–max', 'with first answer µs/app', 'min–max', 'statements in all'], rows))
}
