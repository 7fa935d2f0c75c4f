// The stores that are shown side by side: this one, the one that express-session brings, and a peer for the database at hand.
import { tracingChannel } from 'node:diagnostics_channel'
import session from 'express-session'
import createKnex from 'knex'
import { KnexSessionStore } from 'knex-session-store'
import { TABLES } from './database.mjs'

/** Each is `{ name, store, statements, close }`; `statements()` returns how many it has sent so far. */
export async function openContenders(database) {
  return { ours: openOurs(database), memory: openMemory(), peer: await openPeer[database.kind](database) }
}

function openOurs({ knex }) {
  let count = 0
  const store = new KnexSessionStore({ knex, tableName: TABLES.visitors, onError: (error) => console.error(error.message) })
  // A listener on Knex's own events would change the way that the statements go. The store's channel does not.
  const channel = tracingChannel('knex-session-store:statement')
  const subscribers = { start: () => count++, end() {}, asyncStart() {}, asyncEnd() {}, error() {} }
  channel.subscribe(subscribers)
  return {
    name: 'knex-session-store',
    store,
    statements: () => count,
    async close() {
      channel.unsubscribe(subscribers)
      await store.close()
    }
  }
}

function openMemory() {
  return { name: 'MemoryStore', store: new session.MemoryStore(), statements: () => 0, close: async () => undefined }
}

const openPeer = {
  async sqlite({ url }) {
    const [{ default: peer }, { default: Sqlite }] = await Promise.all([import('better-sqlite3-session-store'), import('better-sqlite3')])
    const name = 'better-sqlite3-session-store'
    let count = 0
    // Its table is always called sessions, so it has a file of its own.
    const client = new Sqlite(`${url}-peer.sqlite`, { verbose: () => count++ })
    client.pragma('journal_mode = WAL')
    const store = withoutTimer(() => new (peer(session))({ client }))
    return { name, store, statements: () => count, close: async () => client.close() }
  },

  async postgres({ url, knex }) {
    const [{ default: peer }, { default: pg }] = await Promise.all([import('connect-pg-simple'), import('pg')])
    // As its table.sql, but with names that cannot be those of a table that you have.
    if (!(await knex.schema.hasTable(TABLES.peer))) {
      await knex.schema.createTable(TABLES.peer, (table) => {
        table.string('sid').primary()
        table.json('sess').notNullable()
        table.timestamp('expire', { precision: 6, useTz: false }).notNullable().index()
      })
    }
    let count = 0
    const pool = new pg.Pool({ connectionString: url, max: 10 })
    // Without a listener, an idle connection that breaks ends the process: its README shows this, too.
    pool.on('error', () => undefined)
    const query = pool.query
    pool.query = function (...given) {
      count++
      return query.apply(this, given)
    }
    const store = new (peer(session))({ pool, tableName: TABLES.peer })
    const close = async () => {
      store.close()
      await pool.end()
    }
    return { name: 'connect-pg-simple', store, statements: () => count, close }
  },

  async mysql({ url }) {
    const { ConnectSessionKnexStore } = await import('connect-session-knex')
    let count = 0
    const knex = createKnex({ client: 'mysql2', connection: url, pool: { min: 0, max: 10 } })
    knex.on('query', () => count++)
    const store = new ConnectSessionKnexStore({ knex, tableName: TABLES.peer, createTable: true, cleanupInterval: 0 })
    return { name: 'connect-session-knex', store, statements: () => count, close: () => knex.destroy() }
  }
}

/** This peer begins an interval that nothing can end, so that no process with it would end by itself. */
function withoutTimer(make) {
  const begin = globalThis.setInterval
  globalThis.setInterval = (...given) => begin(...given).unref()
  try {
    return make()
  } finally {
    globalThis.setInterval = begin
  }
}
