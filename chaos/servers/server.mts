import { randomBytes } from 'node:crypto'
import mysql from 'mysql2/promise'
import pg from 'pg'
import { createClient } from 'redis'
import type { DatabaseName } from '../stores.mts'

/** How long a plain connection may take before it counts as failed. */
const PLAIN_MS = 1_000

/** A connection of the runner's own. */
export interface Admin extends AsyncDisposable {
  query(sql: string): Promise<Record<string, unknown>[]>
}

export async function connectAdmin(database: DatabaseName, url: string): Promise<Admin> {
  if (database === 'postgres') {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 })
    client.on('error', () => undefined)
    await client.connect()
    return {
      query: async (sql) => (await client.query(sql)).rows ?? [],
      [Symbol.asyncDispose]: () => client.end().catch(() => undefined)
    }
  }
  const connection = await mysql.createConnection({ uri: url, connectTimeout: 5_000 })
  connection.on('error', () => undefined)
  return {
    query: async (sql) => ((await connection.query(sql))[0] as Record<string, unknown>[]) ?? [],
    [Symbol.asyncDispose]: async () => connection.destroy()
  }
}

/** Makes one plain connection and one write on it: what the way to the server is measured by. */
export async function tryPlainWrite(database: DatabaseName, url: string, sql = `UPDATE ${PROBE_TABLE} SET n = n + 1`): Promise<void> {
  await tryPlainConnection(database, url, sql)
}

/** What is written to. */
export async function makeProbeTable(database: DatabaseName, url: string): Promise<void> {
  if (database === 'redis') return
  await using admin = await connectAdmin(database, url)
  await admin.query(`DROP TABLE IF EXISTS ${PROBE_TABLE}`)
  await admin.query(`CREATE TABLE ${PROBE_TABLE} (id int PRIMARY KEY, n bigint)`)
  await admin.query(`INSERT INTO ${PROBE_TABLE} VALUES (1, 0)`)
}

/** Other people's databases are left as they were. Where the way there is broken for good, so is the database. */
export async function dropProbeTable(database: DatabaseName, url: string): Promise<void> {
  if (database === 'redis') return
  try {
    await using admin = await connectAdmin(database, url)
    await admin.query(`DROP TABLE ${PROBE_TABLE}`)
  } catch {
    // As above.
  }
}

const PROBE_TABLE = 'chaos_probe'

/** Makes one plain connection, and sends one statement. */
export async function tryPlainConnection(database: DatabaseName, url: string, sql = 'SELECT 1'): Promise<void> {
  if (database === 'postgres') {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: PLAIN_MS, query_timeout: PLAIN_MS })
    client.on('error', () => undefined)
    try {
      await client.connect()
      await client.query(sql)
    } finally {
      // Not waited for: a server that stands still would not say goodbye.
      client.end().catch(() => undefined)
    }
  } else if (database === 'mysql') {
    const connection = await mysql.createConnection({ uri: url, connectTimeout: PLAIN_MS })
    connection.on('error', () => undefined)
    try {
      await connection.query({ sql, timeout: PLAIN_MS })
    } finally {
      connection.destroy()
    }
  } else {
    const client = createClient({ url, socket: { connectTimeout: PLAIN_MS, reconnectStrategy: false } })
    client.on('error', () => undefined)
    try {
      await client.connect()
      await client.set(PROBE_TABLE, '1')
    } finally {
      client.destroy()
    }
  }
}

export function newName(): string {
  return `chaos_${randomBytes(4).toString('hex')}`
}

export function withPath(url: string, path: string): string {
  const changed = new URL(url)
  changed.pathname = `/${path}`
  return changed.href
}

export function withPort(url: string, port: number): string {
  const changed = new URL(url)
  changed.hostname = '127.0.0.1'
  changed.port = String(port)
  return changed.href
}

/** Connections of applications to the database, as its server lists them; a connection is idle where it has nothing to do and no transaction. */
export async function listConnections(database: DatabaseName, admin: Admin, name: string): Promise<{ isIdle: boolean; what: string }[]> {
  const rows =
    database === 'postgres'
      ? await admin.query(
          `SELECT state AS doing, query AS what FROM pg_stat_activity WHERE datname = '${name}' AND pid <> pg_backend_pid() AND backend_type = 'client backend'`
        )
      : await admin.query(
          `SELECT IF(id IN (SELECT trx_mysql_thread_id FROM information_schema.innodb_trx), 'transaction', command) AS doing, CONCAT(time, ' s ', COALESCE(state, ''), ' ', COALESCE(info, '')) AS what FROM information_schema.processlist WHERE db = '${name}' AND id <> connection_id()`
        )
  return rows.map(({ doing, what }) => ({ isIdle: doing === 'idle' || doing === 'Sleep', what: `${doing}: ${String(what).slice(0, 200)}` }))
}
