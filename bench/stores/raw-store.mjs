import session from 'express-session'
import { lifetimeMs } from '../session.mjs'

/**
 * The least that a store can be: one statement an operation and JSON, on what the driver offers for it. No expiry is checked in JavaScript,
 * nothing is retried, nothing is promised. `queries` is `{ select(id), upsert(id, text, expiresAt), touch(id, expiresAt), remove(id) }`;
 * `select` answers the text or undefined.
 */
export class RawStore extends session.Store {
  constructor(queries) {
    super()
    this.queries = queries
  }

  get(id, callback) {
    this.queries.select(id).then((text) => callback(null, text === undefined ? null : JSON.parse(text)), callback)
  }

  set(id, data, callback) {
    this.queries.upsert(id, JSON.stringify(data), expiresAt(data)).then(() => callback(null), callback)
  }

  touch(id, data, callback) {
    this.queries.touch(id, expiresAt(data)).then(() => callback(null), callback)
  }

  destroy(id, callback) {
    this.queries.remove(id).then(() => callback(null), callback)
  }
}

function expiresAt(data) {
  return data.cookie.expires ? Number(new Date(data.cookie.expires)) : Date.now() + lifetimeMs
}

export const createTable = {
  pg: 'CREATE TABLE bench_raw (id text COLLATE "C" PRIMARY KEY, data text NOT NULL, expires_at bigint NOT NULL)',
  mysql: `CREATE TABLE bench_raw (id varchar(255) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY, data longtext NOT NULL,
    expires_at bigint NOT NULL) CHARACTER SET utf8mb4`,
  sqlite: 'CREATE TABLE bench_raw (id text PRIMARY KEY, data text NOT NULL, expires_at integer NOT NULL)'
}

const onDuplicate = {
  pg: 'ON CONFLICT (id) DO UPDATE SET data = excluded.data, expires_at = excluded.expires_at',
  mysql: 'ON DUPLICATE KEY UPDATE data = VALUES(data), expires_at = VALUES(expires_at)',
  sqlite: 'ON CONFLICT (id) DO UPDATE SET data = excluded.data, expires_at = excluded.expires_at'
}

/** The four statements of a raw store, with `?` for each value. */
export function statements(server, table) {
  return {
    select: `SELECT data FROM ${table} WHERE id = ? AND expires_at > ?`,
    upsert: `INSERT INTO ${table} (id, data, expires_at) VALUES (?, ?, ?) ${onDuplicate[server]}`,
    touch: `UPDATE ${table} SET expires_at = ? WHERE id = ?`,
    remove: `DELETE FROM ${table} WHERE id = ?`
  }
}
