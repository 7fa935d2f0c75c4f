import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import pg from 'pg'
import { findProgram, freePort, identityOf, makeFolder, run, serverCpuMs, startProgram } from './process.mjs'

// Durable, as installed, but for room, which startPostgres is given: 128 MB of shared buffers would measure the disk, not the stores.
const settings = { min_wal_size: '1GB', 'pg_stat_statements.track': 'top' }

export async function startPostgres(folder, memoryMb) {
  if (process.env.BENCH_PG_URL) return describe(process.env.BENCH_PG_URL, 'settings as found', undefined)
  const initdb = findProgram('initdb', debianFolders())
  if (!initdb) return { missing: 'no initdb found: install PostgreSQL (Debian: postgresql) or set BENCH_PG_URL' }
  const identity = identityOf('postgres')
  const port = await freePort()
  const home = makeFolder(join(folder, 'postgres'), identity)
  const data = join(home, 'data')
  run(initdb, ['--pgdata', data, '--auth', 'trust', '--username', 'postgres', '--encoding', 'UTF8', '--locale', 'C.UTF-8'], identity)
  const start = async (extra) => {
    const all = {
      ...settings,
      ...extra,
      shared_buffers: `${memoryMb}MB`,
      listen_addresses: '127.0.0.1',
      port,
      unix_socket_directories: home
    }
    const args = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    // SIGINT is PostgreSQL's fast shutdown.
    const program = startProgram(join(dirname(initdb), 'postgres'), ['-D', data, ...args], { identity, stopSignal: 'SIGINT' })
    try {
      const url = `postgres://postgres@127.0.0.1:${port}/postgres`
      const server = await program.ready(() => describe(url, `fsync on, synchronous_commit on, shared_buffers ${memoryMb} MB`, program))
      await fillLog(url)
      return server
    } catch (error) {
      await program.stop()
      throw error
    }
  }
  try {
    return await start({ shared_preload_libraries: 'pg_stat_statements' })
  } catch {
    // A PostgreSQL without its contrib modules: everything but the statements per request can be measured.
    return start({})
  }
}

/**
 * Uses each file of the write-ahead log once. A server that has run for a while writes over its old ones; a new one would have to make each
 * while all who write wait for it, which is twenty to fifty milliseconds, several times a second.
 */
async function fillLog(url) {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const files = 64
  for (let file = 0; file < files; file++) {
    await client.query("SELECT pg_logical_emit_message(false, '', repeat('.', 16 * 1024 * 1024))")
  }
  await client.query('CHECKPOINT')
  await client.end()
}

/** Debian keeps each version's programs in a folder that is not on PATH. */
function debianFolders() {
  try {
    return readdirSync('/usr/lib/postgresql')
      .sort((a, b) => Number(b) - Number(a))
      .map((version) => `/usr/lib/postgresql/${version}/bin`)
  } catch {
    return []
  }
}

async function describe(url, note, program) {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  // The server ends the connection when it is stopped first; that is nobody's error.
  client.on('error', () => {})
  const version = (await client.query('SHOW server_version')).rows[0].server_version
  const counts = await countsStatements(client)
  return {
    url,
    version: `PostgreSQL ${version.split(' ')[0]}`,
    note,
    cpuMs: () => (program ? serverCpuMs(program.pid) : null),
    async statements() {
      if (!counts) return null
      const { rows } = await client.query(
        'SELECT coalesce(sum(calls), 0)::float8 AS calls FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())'
      )
      return rows[0].calls
    },
    settle: () => client.query('VACUUM ANALYZE').then(() => client.query('CHECKPOINT')),
    async stop() {
      await client.end()
      await program?.stop()
    }
  }
}

/** False where the extension is not installed, not loaded at the server's start, or not ours to create. */
async function countsStatements(client) {
  try {
    await client.query('CREATE EXTENSION IF NOT EXISTS pg_stat_statements')
    await client.query('SELECT count(*) FROM pg_stat_statements')
    return true
  } catch {
    return false
  }
}
