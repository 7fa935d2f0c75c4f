import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import mysql from 'mysql2/promise'
import { find } from './find-program'
import { type LocalServer, startLocalServer } from './local-server'

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
    command: (dataDirectory, port) => [server, ...flagsOf(dataDirectory, port)],
    connect: (port) => answers(`mysql://root@127.0.0.1:${port}`)
  })
}

/** Starts a MySQL for this run. Debian's stable releases have none: the first time it is unpacked from sid. */
export async function startMysql(): Promise<LocalServer> {
  const server = await installedMysql()
  return startLocalServer({
    name: 'mysql',
    accounts: ['mysql', 'node', 'nobody'],
    async initialise(dataDirectory, run) {
      await run(server, ['--no-defaults', `--datadir=${dataDirectory}`, '--initialize-insecure'])
    },
    command: (dataDirectory, port) => [server, ...flagsOf(dataDirectory, port), '--mysqlx=OFF'],
    connect: (port) => answers(`mysql://root@127.0.0.1:${port}`)
  })
}

/** Of MariaDB and of MySQL. */
function flagsOf(dataDirectory: string, port: number): string[] {
  return [
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
}

/** The path of a mysqld. */
export async function installedMysql(): Promise<string> {
  const script = join(process.cwd(), 'spec/support/install-mysql.sh')
  const { stdout } = await promisify(execFile)('bash', [script])
  return stdout.trim()
}

async function answers(url: string): Promise<string> {
  const connection = await mysql.createConnection({ uri: url, connectTimeout: 2000 })
  await connection.end()
  return url
}
