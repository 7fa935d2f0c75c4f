// The database of the demo, and what can be done to it. DATABASE_URL names it; without one it is an SQLite file.
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import Sqlite from 'better-sqlite3'
import createKnex from 'knex'

/** Every table of the demo, so that a database that you use for something else stays as it is. */
export const TABLES = {
  users: 'demo_users',
  orders: 'demo_orders',
  sessions: 'demo_sessions',
  visitors: 'demo_visitors',
  peer: 'demo_peer'
}

export function openDatabase(url = `sqlite:${join(tmpdir(), 'knex-session-store-demo.sqlite')}`) {
  const [, scheme = '', rest = ''] = /^([a-z]+):(.*)$/is.exec(url) ?? []
  const open = KINDS[scheme.toLowerCase()]
  if (open === undefined)
    throw new Error('DATABASE_URL must begin with postgres://, mysql:// or mariadb://, or be sqlite: and the path of a file')
  return open(rest)
}

const KINDS = {
  sqlite: openSqlite,
  postgres: openPostgres,
  postgresql: openPostgres,
  mysql: openMysql,
  mariadb: openMysql
}

function openSqlite(filename) {
  const knex = createKnex({
    client: 'better-sqlite3',
    connection: { filename },
    useNullAsDefault: true,
    pool: {
      afterCreate(connection, done) {
        connection.pragma('journal_mode = WAL')
        done(null, connection)
      }
    }
  })
  return {
    kind: 'sqlite',
    knex,
    url: filename,
    place: filename,
    name: async () => `SQLite ${(await knex.raw('SELECT sqlite_version() AS version'))[0].version}`,
    /** What it cannot show, and why. */
    cannot: {
      'end-connections':
        'SQLite is a file in this process: there is no server that could end connections. Start the demo on PostgreSQL or MariaDB to see it.'
    },
    /** SQLite has no locks of rows: this makes all other writers wait. */
    async lockFile(ms) {
      const other = new Sqlite(filename)
      try {
        other.exec('BEGIN IMMEDIATE')
        await pause(ms)
        other.exec('ROLLBACK')
      } finally {
        other.close()
      }
    },
    close: () => knex.destroy()
  }
}

function openPostgres(rest) {
  return openServer({
    kind: 'postgres',
    client: 'pg',
    url: `postgres:${rest}`,
    numberOf: (connection) => connection.processID,
    end: (admin, number) => admin.raw('SELECT pg_terminate_backend(?)', [number]),
    name: async (knex) => `PostgreSQL ${(await knex.raw('SHOW server_version')).rows[0].server_version.split(' ')[0]}`
  })
}

function openMysql(rest) {
  return openServer({
    kind: 'mysql',
    client: 'mysql2',
    url: `mysql:${rest}`,
    numberOf: (connection) => connection.threadId,
    // One that has ended meanwhile is an unknown thread.
    end: (admin, number) => admin.raw('KILL ?', [number]).catch(() => undefined),
    async name(knex) {
      const [[{ version }]] = await knex.raw('SELECT version() AS version')
      return `${/mariadb/i.test(version) ? 'MariaDB' : 'MySQL'} ${version.split('-')[0]}`
    }
  })
}

function openServer({ kind, client, url, numberOf, end, name }) {
  /** The connections of this process's own pool, and no others, by their numbers on the server. */
  const numbers = new Set()
  const knex = createKnex({
    client,
    connection: url,
    // Knex says of each connection that was ended that it was. Here you have ended it.
    log: { warn() {} },
    pool: {
      min: 0,
      max: 10,
      afterCreate(connection, done) {
        const number = numberOf(connection)
        numbers.add(number)
        connection.once('end', () => numbers.delete(number))
        done(null, connection)
      }
    }
  })
  // What breaks the database has connections of its own: one holds a lock while another ends connections.
  const admin = createKnex({ client, connection: url, pool: { min: 0, max: 2 } })
  return {
    kind,
    knex,
    url,
    place: placeOf(url),
    cannot: {},
    name: () => name(knex),
    async endConnections() {
      const ended = [...numbers]
      for (const number of ended) await end(admin, number)
      return ended.length
    },
    lockRow: (table, id, ms) =>
      admin.transaction(async (trx) => {
        await trx(table).where({ id }).forUpdate().first('id')
        await pause(ms)
      }),
    close: () => Promise.all([knex.destroy(), admin.destroy()])
  }
}

/** Without its user and password. */
function placeOf(url) {
  const { host, pathname } = new URL(url)
  return host + pathname
}
