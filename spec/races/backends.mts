import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import mysql, { type Connection } from 'mysql2/promise'
import pg from 'pg'
import { createClient } from 'redis'
import { Line } from './line.mjs'
import { listenToMysql, listenToPostgres, listenToRedis, StatementCounter } from './statements.mjs'

/** A database of a race's own, and what may happen to one. */
export interface Backend extends AsyncDisposable {
  readonly name: 'postgres' | 'mysql' | 'sqlite' | 'redis' | 'memory'
  /** Where a store finds it. With a server, the way leads over the line. */
  readonly url: string
  /** The line to the server; undefined where there is none. */
  readonly line: Line | undefined
  /** What went to the server; undefined where there is no line to listen to. */
  readonly counter: StatementCounter | undefined
  /** Removes every table. Undefined where there are none. */
  readonly dropTables: (() => Promise<void>) | undefined
  /** Runs a statement, as an application does it past its store. Undefined where there is no SQL. */
  readonly execute: ((sql: string) => Promise<void>) | undefined
  /** From now on each write to a table that is there takes so long in the database. Undefined where that cannot be had. */
  readonly slowWrites: ((ms: number) => Promise<void>) | undefined
  /** Ends the connections of all others, on the server's side. */
  readonly killConnections: (() => Promise<void>) | undefined
}

/** Makes an empty database on the server, and drops it at the end. The URL's user must be allowed to. */
export async function openPostgres(serverUrl: string): Promise<Backend> {
  const name = `races_${randomBytes(6).toString('hex')}`
  const server = new pg.Client({ connectionString: serverUrl, connectionTimeoutMillis: 2_000 })
  await server.connect()
  await server.query(`CREATE DATABASE ${name}`)
  const admin = new pg.Client({ connectionString: withPath(serverUrl, name) })
  await admin.connect()
  const tables = async () =>
    (await admin.query('SELECT tablename FROM pg_tables WHERE schemaname = current_schema()')).rows.map((row) => row.tablename)
  const wire = await openLine(serverUrl, 5432, listenToPostgres)
  return {
    name: 'postgres',
    url: overLine(withPath(serverUrl, name), wire.line),
    ...wire,
    execute: async (sql) => void (await admin.query(sql)),
    async dropTables() {
      for (const table of await tables()) await admin.query(`DROP TABLE "${table}"`)
    },
    async slowWrites(ms) {
      await admin.query(
        `CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(${ms / 1000}); RETURN NEW; END'`
      )
      for (const table of await tables()) {
        await admin.query(`CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON "${table}" FOR EACH ROW EXECUTE FUNCTION slow()`)
      }
    },
    async killConnections() {
      await admin.query(
        'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()'
      )
    },
    async [Symbol.asyncDispose]() {
      await wire.line[Symbol.asyncDispose]()
      await admin.end()
      await server.query(`DROP DATABASE ${name} WITH (FORCE)`)
      await server.end()
    }
  }
}

/** As {@link openPostgres}, for MySQL and MariaDB. */
export async function openMysql(serverUrl: string): Promise<Backend> {
  const name = `races_${randomBytes(6).toString('hex')}`
  const admin: Connection = await mysql.createConnection({ uri: withPath(serverUrl, ''), connectTimeout: 2_000 })
  await admin.query(`CREATE DATABASE ${name}`)
  await admin.query(`USE ${name}`)
  const column = async (sql: string) => ((await admin.query({ sql, rowsAsArray: true }))[0] as unknown[][]).map(([first]) => String(first))
  const wire = await openLine(serverUrl, 3306, listenToMysql)
  return {
    name: 'mysql',
    url: overLine(withPath(serverUrl, name), wire.line),
    ...wire,
    execute: async (sql) => void (await admin.query(sql)),
    async dropTables() {
      for (const table of await column('SHOW TABLES')) await admin.query(`DROP TABLE \`${table}\``)
    },
    async slowWrites(ms) {
      for (const table of await column('SHOW TABLES')) {
        for (const event of ['INSERT', 'UPDATE']) {
          await admin.query(`CREATE TRIGGER slow_${event} BEFORE ${event} ON \`${table}\` FOR EACH ROW DO SLEEP(${ms / 1000})`)
        }
      }
    },
    async killConnections() {
      const others = await column(`SELECT id FROM information_schema.processlist WHERE db = '${name}' AND id <> connection_id()`)
      // One that has ended meanwhile is an unknown thread id.
      for (const id of others) await admin.query(`KILL ${id}`).catch(() => undefined)
    },
    async [Symbol.asyncDispose]() {
      await wire.line[Symbol.asyncDispose]()
      await admin.query(`DROP DATABASE ${name}`)
      await admin.end()
    }
  }
}

/** A file in a directory of its own, in WAL mode. There is no line to it, and its one writer blocks the whole process anyway. */
export async function openSqlite(): Promise<Backend> {
  const directory = await mkdtemp(join(tmpdir(), 'session-races-'))
  const url = join(directory, 'sessions.sqlite')
  const admin = new Database(url)
  admin.pragma('journal_mode = WAL')
  const tables = () => admin.prepare(`SELECT name FROM sqlite_master WHERE type = 'table'`).pluck().all()
  return {
    name: 'sqlite',
    url,
    line: undefined,
    counter: undefined,
    slowWrites: undefined,
    killConnections: undefined,
    execute: async (sql) => void admin.exec(sql),
    async dropTables() {
      for (const table of tables()) admin.exec(`DROP TABLE "${table}"`)
    },
    async [Symbol.asyncDispose]() {
      admin.close()
      await rm(directory, { recursive: true, force: true })
    }
  }
}

/** One of the numbered databases of a Redis server, emptied before and after. */
export async function openRedis(serverUrl: string, database = 9): Promise<Backend> {
  const url = withPath(serverUrl, String(database))
  const admin = createClient({ url, socket: { connectTimeout: 2_000, reconnectStrategy: false } })
  await admin.connect()
  await admin.flushDb()
  const wire = await openLine(serverUrl, 6379, listenToRedis)
  return {
    name: 'redis',
    url: overLine(url, wire.line),
    ...wire,
    dropTables: undefined,
    execute: undefined,
    slowWrites: undefined,
    async killConnections() {
      wire.line.cut()
    },
    async [Symbol.asyncDispose]() {
      await wire.line[Symbol.asyncDispose]()
      await admin.flushDb()
      admin.destroy()
    }
  }
}

/** The memory of each process, for itself. */
export async function openMemory(): Promise<Backend> {
  return {
    ...{
      name: 'memory',
      url: '',
      line: undefined,
      counter: undefined,
      dropTables: undefined,
      execute: undefined,
      slowWrites: undefined,
      killConnections: undefined
    },
    [Symbol.asyncDispose]: async () => undefined
  }
}

async function openLine(
  serverUrl: string,
  defaultPort: number,
  listen: typeof listenToPostgres
): Promise<{ line: Line; counter: StatementCounter }> {
  const { hostname, port } = new URL(serverUrl)
  const counter = new StatementCounter()
  const line = await new Line({ host: hostname, port: Number(port || defaultPort) }, () => listen(counter)).open()
  return { line, counter }
}

function overLine(databaseUrl: string, line: Line): string {
  const url = new URL(databaseUrl)
  url.hostname = '127.0.0.1'
  url.port = String(line.port)
  return url.href
}

function withPath(serverUrl: string, path: string): string {
  const url = new URL(serverUrl)
  url.pathname = `/${path}`
  return url.href
}
