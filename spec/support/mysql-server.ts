import { access, constants } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import mysql from 'mysql2/promise'
import { type LocalServer, startLocalServer } from './local-server'

const USUAL_FOLDERS = ['/usr/sbin', '/usr/bin', '/usr/local/bin', '/opt/homebrew/bin']

/** The server that runs here already, if it lets root in without a password. */
export async function findRunningMysql(): Promise<string | undefined> {
  return answers('mysql://root@127.0.0.1:3306').catch(() => undefined)
}

/** Starts a MariaDB for this run, or gives undefined where its binaries are not installed. */
export async function startMariadb(): Promise<LocalServer | undefined> {
  const server = await find('mariadbd')
  const install = await find('mariadb-install-db')
  if (server === undefined || install === undefined) return undefined
  return startLocalServer({
    name: 'mariadb',
    accounts: ['mysql', 'node', 'nobody'],
    async initialise(dataDirectory, run) {
      const flags = ['--no-defaults', `--datadir=${dataDirectory}`, '--auth-root-authentication-method=normal', '--skip-test-db']
      await run(install, flags)
    },
    command(dataDirectory, port) {
      return [
        server,
        '--no-defaults',
        `--datadir=${dataDirectory}`,
        `--socket=${join(dataDirectory, 'socket')}`,
        '--bind-address=127.0.0.1',
        `--port=${port}`,
        '--max-connections=300',
        // What a crash would lose is thrown away at the end anyway.
        '--innodb-flush-log-at-trx-commit=0',
        '--innodb-flush-method=nosync',
        '--skip-log-bin'
      ]
    },
    connect: (port) => answers(`mysql://root@127.0.0.1:${port}`)
  })
}

async function answers(url: string): Promise<string> {
  const connection = await mysql.createConnection({ uri: url, connectTimeout: 2000 })
  await connection.end()
  return url
}

async function find(program: string): Promise<string | undefined> {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...USUAL_FOLDERS]
  for (const folder of folders) {
    const path = join(folder, program)
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false
    )
    if (found) return path
  }
  return undefined
}
