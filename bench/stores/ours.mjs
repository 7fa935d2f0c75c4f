import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { hashedId, lifetimeMs, makeSession, sessionId } from '../session.mjs'
import { makeKnex, sqliteDatabase, sqliteFile } from './connections.mjs'

// BENCH_DIST: another build, to compare two of ours.
const build = process.env.BENCH_DIST
  ? resolve(process.env.BENCH_DIST, 'index.js')
  : fileURLToPath(new URL('../../dist/index.js', import.meta.url))
/** Our store from dist/, as an application makes it. The microbench adds `touchAfterMs: 0`, so that each touch writes as the others' do. */
export const stores = ['pg', 'mysql', 'sqlite'].map((server) => ({
  name: `ours-${server}`,
  server,
  fills: true,
  missing: () => (loadStoreClass() ? undefined : 'dist/index.js exports no KnexSessionStore: npm run build'),
  async open({ url, directory, options = {} }) {
    const KnexSessionStore = loadStoreClass()
    const { tableName = 'bench_ours' } = options
    const file = server === 'sqlite' ? sqliteFile(directory, tableName) : undefined
    const knex = makeKnex(server, url, file)
    await knex.schema.dropTableIfExists(tableName)
    const store = new KnexSessionStore({ knex, pruneIntervalMs: false, onError: fail, ...options, tableName })
    return {
      store,
      knex,
      file,
      async fill(rows, bytes) {
        await store.ready()
        const text = JSON.stringify(makeSession(bytes))
        if (server === 'sqlite') fillFile(file, tableName, rows, text)
        else await fills[server](knex, tableName, rows, text)
      },
      async close() {
        await store.close()
        await knex.schema.dropTableIfExists(tableName)
        await knex.destroy()
      }
    }
  }
}))

export function loadStoreClass() {
  if (!existsSync(build)) return undefined
  return createRequire(import.meta.url)(build).KnexSessionStore
}

function fail(error) {
  process.nextTick(() => {
    throw error
  })
}

/** The stored id of the session of a number, `i` or `seq`. */
export const storedIds = {
  pg: "rtrim(translate(encode(sha256(convert_to(md5('session-' || i), 'UTF8')), 'base64'), '+/', '-_'), '=')",
  mysql: "replace(replace(trim(TRAILING '=' FROM to_base64(unhex(sha2(md5(concat('session-', seq)), 256)))), '+', '-'), '/', '_')"
}

// The table's columns but `owner_id`, which stays null. The stored id is the base64url SHA-256 of the session id.
const columns = 'id, data, expires_at, expires_hour, revision, created_at, last_seen_at'

const fills = {
  pg: (knex, tableName, rows, text) =>
    knex.raw(
      `INSERT INTO ?? (${columns})
       SELECT ${storedIds.pg}, ?, ?, ?, 1, ?, ?
       FROM generate_series(0, ?::int - 1) i`,
      [tableName, text, ...moments(), rows]
    ),
  mysql: (knex, tableName, rows, text) =>
    knex.raw(
      `INSERT INTO ?? (${columns})
       SELECT ${storedIds.mysql}, ?, ?, ?, 1, ?, ?
       FROM seq_0_to_${Number(rows) - 1}`,
      [tableName, text, ...moments()]
    )
}

function fillFile(file, tableName, rows, text) {
  const database = sqliteDatabase(file)
  const insert = database.prepare(`INSERT INTO ${tableName} (${columns}) VALUES (?, ?, ?, ?, 1, ?, ?)`)
  database.transaction(() => {
    for (let index = 0; index < rows; index++) insert.run(hashedId(sessionId(index)), text, ...moments())
  })()
  database.close()
}

/** expires_at, expires_hour (hours since the epoch, rounded up), created_at, last_seen_at. */
function moments() {
  const now = Date.now()
  return [now + lifetimeMs, Math.ceil((now + lifetimeMs) / 3_600_000), now, now]
}
