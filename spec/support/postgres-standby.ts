import { access, constants, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { type LocalServer, startLocalServer } from './local-server'

export const GET_POSTGRES = 'apt-get install postgresql'

/** The folder of the system's PostgreSQL, or undefined where it is not installed. */
export async function findPostgresBinaries(): Promise<string | undefined> {
  const versions = await readdir('/usr/lib/postgresql').catch(() => [])
  for (const version of versions.sort((a, b) => Number(b) - Number(a))) {
    const bin = join('/usr/lib/postgresql', version, 'bin')
    const found = await access(join(bin, 'postgres'), constants.X_OK).then(
      () => true,
      () => false
    )
    if (found) return bin
  }
  return undefined
}

/**
 * Starts a PostgreSQL that is a standby: it serves reads and refuses all else. `sql` is run before it becomes one, a statement a line.
 * Its primary is gone, which makes no difference to who asks it.
 */
export function startStandby(bin: string, sql: readonly string[] = []): Promise<LocalServer> {
  return startLocalServer({
    name: 'postgres-standby',
    accounts: ['postgres', 'node', 'nobody'],
    async initialise(dataDirectory, run) {
      await run(join(bin, 'initdb'), ['-D', dataDirectory, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'])
      const single = 'printf "%s\\n" "$3" | "$1" --single -D "$2" postgres'
      await run('sh', ['-c', single, 'sh', join(bin, 'postgres'), dataDirectory, sql.join('\n')])
      await run('touch', [join(dataDirectory, 'standby.signal')])
    },
    command(dataDirectory, port) {
      const settings = ['listen_addresses=127.0.0.1', `port=${port}`, 'unix_socket_directories=', 'fsync=off', 'log_min_messages=fatal']
      return [join(bin, 'postgres'), '-D', dataDirectory, ...settings.flatMap((setting) => ['-c', setting])]
    },
    async connect(port) {
      const url = `postgres://postgres@127.0.0.1:${port}/postgres`
      const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2000 })
      await client.connect()
      await client.end()
      return url
    }
  })
}
