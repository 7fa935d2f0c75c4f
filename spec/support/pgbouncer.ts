import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { access, constants, mkdir } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { type LocalServer, startLocalServer } from './local-server'

/** A pgbouncer in transaction mode before a PostgreSQL: between two transactions it may change the connection of the server. */
export interface Pgbouncer extends LocalServer {
  /** From version 1.21 on it knows prepared statements, on whatever connection they are. */
  readonly knowsPreparedStatements: boolean
}

export const GET_PGBOUNCER = 'apt-get install pgbouncer, or set TEST_PGBOUNCER=/path/to/pgbouncer'

/** The path of pgbouncer, or undefined where it is not installed. */
export async function findPgbouncer(): Promise<string | undefined> {
  if (process.env.TEST_PGBOUNCER) return process.env.TEST_PGBOUNCER
  for (const folder of [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/bin', '/opt/homebrew/bin']) {
    const path = join(folder, 'pgbouncer')
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false
    )
    if (found) return path
  }
  return undefined
}

/** Starts one before the database that the URL names, and signs in there as its user. */
export async function startPgbouncer(program: string, databaseUrl: string): Promise<Pgbouncer> {
  const { hostname, port: databasePort, username, pathname } = new URL(databaseUrl)
  const { stdout } = await promisify(execFile)(program, ['--version'])
  const [, major = 0, minor = 0] = /(\d+)\.(\d+)/.exec(stdout) ?? []
  const knowsPreparedStatements = Number(major) > 1 || Number(minor) >= 21
  const server = await startLocalServer({
    name: 'pgbouncer',
    accounts: ['postgres', 'node', 'nobody'],
    async initialise(dataDirectory) {
      await mkdir(dataDirectory, { recursive: true })
    },
    command(dataDirectory, port) {
      const file = join(dataDirectory, 'pgbouncer.ini')
      const settings = {
        listen_addr: '127.0.0.1',
        listen_port: port,
        unix_socket_dir: '',
        auth_type: 'any',
        pool_mode: 'transaction',
        // Fewer than clients, so that these meet each other's connections.
        default_pool_size: 3,
        max_client_conn: 200,
        ...(knowsPreparedStatements ? { max_prepared_statements: 200 } : {})
      }
      const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`)
      const target = `host=${hostname} port=${databasePort || 5432} user=${username || 'postgres'}`
      writeFileSync(file, ['[databases]', `* = ${target}`, '[pgbouncer]', ...lines, ''].join('\n'))
      return [program, file]
    },
    async connect(port) {
      const url = `postgres://${username || 'postgres'}@127.0.0.1:${port}${pathname}`
      const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2000 })
      await client.connect()
      await client.end()
      return url
    }
  })
  return { ...server, knowsPreparedStatements }
}
