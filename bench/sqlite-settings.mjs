// What two pragmas of SQLite are worth to the store: node bench/sqlite-settings.mjs [seconds a cell]
import { rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import knexFactory from 'knex'
import { KnexSessionStore } from '../dist/index.js'
import { makeSession, sessionId } from './session.mjs'

const SETTINGS = {
  'as SQLite comes': ['journal_mode = DELETE', 'synchronous = FULL'],
  'WAL, synchronous=FULL': ['journal_mode = WAL', 'synchronous = FULL'],
  'WAL, synchronous=NORMAL': ['journal_mode = WAL', 'synchronous = NORMAL']
}
const ROWS = 1000
const IDS = Array.from({ length: ROWS }, (_, index) => sessionId(index))
// Twice as many as rows, so that a set mostly changes its row.
const SESSIONS = Array.from({ length: 2 * ROWS }, (_, index) => makeSession(2048, index))
const OPERATIONS = {
  set: (store, id) => store.set(id, SESSIONS[Math.floor(Math.random() * SESSIONS.length)]),
  touch: (store, id) => store.touch(id, SESSIONS[0]),
  get: (store, id) => store.get(id)
}
const ROUNDS = 3
const seconds = Number(process.argv[2] ?? 1)

// Where TMPDIR is held in memory, a commit waits for no disk, and the figures say nothing.
const folder = await mkdtemp(join(process.env.BENCH_FOLDER ?? tmpdir(), 'sqlite-settings-'))
try {
  const stores = []
  for (const [name, pragmas] of Object.entries(SETTINGS)) stores.push({ name, ...(await open(name, pragmas)) })
  for (const callers of [1, 64]) {
    for (const [operation, call] of Object.entries(OPERATIONS)) {
      const rates = new Map(stores.map(({ name }) => [name, []]))
      for (let round = 0; round < ROUNDS; round++) {
        for (const { name, store } of stores) rates.get(name).push(await callsASecond(store, call, callers))
      }
      const [first, ...others] = [...rates].map(([name, all]) => ({ name, rate: all.sort((a, b) => a - b)[ROUNDS >> 1] }))
      console.log(`${operation}, ${callers} at once: ${first.name} ${Math.round(first.rate)} a second`)
      for (const { name, rate } of others) console.log(`  ${name} ${Math.round(rate)}, ${(rate / first.rate).toFixed(1)} times`)
    }
  }
  for (const { close } of stores) await close()
} finally {
  rmSync(folder, { recursive: true, force: true })
}

async function open(name, pragmas) {
  const knex = knexFactory({
    client: 'better-sqlite3',
    connection: { filename: join(folder, `${name.replaceAll(/\W+/g, '-')}.sqlite`) },
    useNullAsDefault: true,
    pool: {
      afterCreate(connection, done) {
        for (const pragma of pragmas) connection.pragma(pragma)
        done()
      }
    }
  })
  const store = new KnexSessionStore({ knex, touchAfterMs: 0, pruneIntervalMs: false })
  for (const [index, id] of IDS.entries()) await store.set(id, SESSIONS[index])
  return {
    store,
    async close() {
      await store.close()
      await knex.destroy()
    }
  }
}

async function callsASecond(store, call, callers) {
  const from = performance.now()
  const until = from + seconds * 1000
  let calls = 0
  await Promise.all(
    Array.from({ length: callers }, async () => {
      while (performance.now() < until) {
        await call(store, IDS[Math.floor(Math.random() * ROWS)])
        calls++
      }
    })
  )
  return (calls / (performance.now() - from)) * 1000
}
