import Sqlite from 'better-sqlite3'
import sqliteStore from 'better-sqlite3-session-store'
import connectPgSimple from 'connect-pg-simple'
import { RedisStore } from 'connect-redis'
import { ConnectSessionKnexStore } from 'connect-session-knex'
import mysqlStore from 'express-mysql-session'
import session, { MemoryStore, type SessionData, Store } from 'express-session'
import type { Knex } from 'knex'
import pg from 'pg'
import { createClient } from 'redis'
import type { LocalServer } from '../support/local-server'

/** A store of another package on its own table, and what closes it. */
export interface Other extends AsyncDisposable {
  readonly store: Store
}

/** Where it is opened. */
export interface Place {
  readonly name: string
  readonly url: string
  readonly knex: Knex
  readonly redis?: LocalServer | undefined
}

/**
 * The statements of connect-sqlite3 0.9.18 with its option `table`, on another driver. The package itself brings the driver sqlite3, which is compiled when it is
 * installed.
 */
class ConnectSqlite3Store extends Store {
  constructor(private readonly client: Sqlite.Database) {
    super()
    client.exec('CREATE TABLE IF NOT EXISTS sqlite3_sessions (sid PRIMARY KEY, expired, sess)')
  }

  get = (sid: string, callback: (error?: unknown, session?: SessionData | null) => void) => {
    const row = this.client.prepare('SELECT sess FROM sqlite3_sessions WHERE sid = ? AND ? <= expired').get(sid, Date.now())
    callback(null, row === undefined ? undefined : JSON.parse((row as { sess: string }).sess))
  }

  set = (sid: string, session: SessionData, callback?: (error?: unknown) => void) => {
    const { maxAge } = session.cookie
    const expired = Date.now() + (maxAge || 86_400_000)
    this.client
      .prepare('INSERT OR REPLACE INTO sqlite3_sessions (sid, expired, sess) VALUES (?, ?, ?)')
      .run(sid, expired, JSON.stringify(session))
    callback?.()
  }

  destroy = (sid: string, callback?: (error?: unknown) => void) => {
    this.client.prepare('DELETE FROM sqlite3_sessions WHERE sid = ?').run(sid)
    callback?.()
  }
}

/** The packages by name, each as its README says. Undefined where it does not run on the database, or its server is not there. */
export const OTHER_STORES: Readonly<Record<string, (place: Place) => Promise<Other | undefined>>> = {
  'connect-session-knex': async ({ knex }) => {
    const store = new ConnectSessionKnexStore({ knex, tableName: 'old_sessions', cleanupInterval: 0 })
    return { store, [Symbol.asyncDispose]: async () => undefined }
  },
  'connect-pg-simple': async ({ url, name }) => {
    if (name !== 'postgres') return undefined
    const pool = new pg.Pool({ connectionString: url })
    const PgStore = connectPgSimple(session)
    const store = new PgStore({ pool, createTableIfMissing: true, pruneSessionInterval: false })
    return { store, [Symbol.asyncDispose]: () => pool.end() }
  },
  'better-sqlite3-session-store': async ({ url, name }) => {
    if (name !== 'sqlite') return undefined
    const client = new Sqlite(url)
    // It starts an interval that keeps the process alive, and has nothing to stop it.
    const { setInterval } = globalThis
    globalThis.setInterval = (() => undefined) as never
    try {
      const SqliteStore = sqliteStore(session)
      const store = new SqliteStore({ client }) as unknown as Store
      return { store, [Symbol.asyncDispose]: async () => void client.close() }
    } finally {
      globalThis.setInterval = setInterval
    }
  },
  'connect-sqlite3': async ({ url, name }) => {
    if (name !== 'sqlite') return undefined
    const client = new Sqlite(url)
    return { store: new ConnectSqlite3Store(client), [Symbol.asyncDispose]: async () => void client.close() }
  },
  'express-mysql-session': async ({ url, name }) => {
    if (name !== 'mysql') return undefined
    const { hostname, port, username, pathname } = new URL(url)
    const MysqlStore = mysqlStore(session as never)
    const at = { host: hostname, port: Number(port || 3306), user: username, password: '', database: pathname.slice(1) }
    const store = new MysqlStore({ ...at, clearExpired: false, createDatabaseTable: true })
    await store.onReady()
    return { store: store as unknown as Store, [Symbol.asyncDispose]: () => store.close() }
  },
  'connect-redis': async ({ redis }) => {
    if (redis === undefined) return undefined
    const client = createClient({ url: redis.url })
    await client.connect()
    const store = new RedisStore({ client, prefix: `spec-${process.pid}-${Date.now()}:` })
    return { store, [Symbol.asyncDispose]: () => client.close() }
  },
  MemoryStore: async () => ({ store: new MemoryStore(), [Symbol.asyncDispose]: async () => undefined })
}
