import { join } from 'node:path'
import mysql from 'mysql2/promise'
import { findProgram, freePort, identityOf, makeFolder, run, serverCpuMs, startProgram } from './process.mjs'

export async function startMariadb(folder) {
  if (process.env.BENCH_MYSQL_URL) return describe(process.env.BENCH_MYSQL_URL, 'settings as found', undefined)
  const server = findProgram('mariadbd')
  const install = findProgram('mariadb-install-db')
  if (!server || !install) return { missing: 'no mariadbd found: install MariaDB (Debian: mariadb-server) or set BENCH_MYSQL_URL' }
  const identity = identityOf('mysql')
  const port = await freePort()
  const home = makeFolder(join(folder, 'mariadb'), identity)
  const data = join(home, 'data')
  run(install, ['--no-defaults', `--datadir=${data}`, '--auth-root-authentication-method=normal', '--skip-test-db'], identity)
  const args = [
    '--no-defaults',
    `--datadir=${data}`,
    `--socket=${join(home, 'socket')}`,
    `--pid-file=${join(home, 'pid')}`,
    '--bind-address=127.0.0.1',
    `--port=${port}`,
    '--character-set-server=utf8mb4',
    // Durable as installed (innodb_flush_log_at_trx_commit=1), with the room that PostgreSQL gets.
    '--innodb-buffer-pool-size=512M',
    '--innodb-log-file-size=1G'
  ]
  const program = startProgram(server, args, { identity })
  const note = 'innodb_flush_log_at_trx_commit 1, no binary log, buffer pool 512 MB'
  try {
    return await program.ready(() => describe(`mysql://root@127.0.0.1:${port}/bench`, note, program))
  } catch (error) {
    await program.stop()
    throw error
  }
}

async function describe(url, note, program) {
  if (program) {
    const admin = await mysql.createConnection(url.replace(/\/bench$/, ''))
    await admin.query('CREATE DATABASE IF NOT EXISTS bench')
    await admin.end()
  }
  const connection = await mysql.createConnection(url)
  connection.on('error', () => {})
  const [[{ version }]] = await connection.query('SELECT version() AS version')
  return {
    url,
    version: /maria/i.test(version) ? `MariaDB ${version.split('-')[0]}` : `MySQL ${version}`,
    note,
    cpuMs: () => (program ? serverCpuMs(program.pid) : null),
    async statements() {
      const [[row]] = await connection.query("SHOW GLOBAL STATUS LIKE 'Questions'")
      return Number(row.Value)
    },
    settle: async () => {},
    async stop() {
      connection.destroy()
      await program?.stop()
    }
  }
}
