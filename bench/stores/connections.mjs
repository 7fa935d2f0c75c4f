import { rmSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import knex from 'knex'
import mysql from 'mysql2'
import pg from 'pg'

// The same ten connections for everybody, opened once: while other stores are measured, none is dropped for being idle.
const connections = 10

export function pgPool(url) {
  return new pg.Pool({ connectionString: url, max: connections, min: connections, idleTimeoutMillis: 0 })
}

export function mysqlPool(url) {
  return mysql.createPool({ uri: url, connectionLimit: connections, maxIdle: connections, idleTimeout: 3_600_000 })
}

/** WAL and synchronous=NORMAL, as everyone with more than one process at an SQLite file has it, and the room that the servers get. */
export function sqliteFile(directory, name) {
  const file = join(directory, `${name}.sqlite`)
  for (const suffix of ['', '-wal', '-shm']) rmSync(file + suffix, { force: true })
  return file
}

export function sqliteDatabase(file) {
  const database = new Database(file)
  setPragmas(database)
  return database
}

function setPragmas(database) {
  database.pragma('journal_mode = WAL')
  database.pragma('synchronous = NORMAL')
  database.pragma('cache_size = -512000')
}

/** `onConnection` is given each connection to a server when it is made. */
export function makeKnex(server, url, file, onConnection = () => {}) {
  if (server === 'sqlite') {
    const afterCreate = (connection, done) => {
      setPragmas(connection)
      done(null, connection)
    }
    return knex({ client: 'better-sqlite3', connection: { filename: file }, useNullAsDefault: true, pool: { min: 1, max: 1, afterCreate } })
  }
  const afterCreate = (connection, done) => {
    onConnection(connection)
    done(null, connection)
  }
  return knex({ client: server === 'pg' ? 'pg' : 'mysql2', connection: url, pool: { min: connections, max: connections, afterCreate } })
}
