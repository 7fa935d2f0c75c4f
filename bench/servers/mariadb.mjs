import { join } from 'node:path'
import mysql from 'mysql2/promise'
import { findProgram, freePort, identityOf, makeFolder, run, serverCpuMs, startProgram } from './process.mjs'

export async function startMariadb(folder, memoryMb) {
  if (process.env.BENCH_MYSQL_URL) return describe(process.env.BENCH_MYSQL_URL, 'settings as found', undefined)
  const server = findProgram('mariadbd')
  const install = findProgram('mariadb-install-db')
  if (!server || !install) return { missing: 'no mariadbd found: install MariaDB (Debian: mariadb-server) or set BENCH_MYSQL_URL' }
  const identity = identityOf('mysql')
  const port = await freePort()
  const home = makeFolder(join(folder, 'mariadb'), identity)
  const data = join(home, 'data')
  // Two servers that start at the same time would remove each other's tables from a shared folder.
  const tmpdir = `--tmpdir=${makeFolder(join(home, 'tmp'), identity)}`
  run(install, ['--no-defaults', `--datadir=${data}`, tmpdir, '--auth-root-authentication-method=normal', '--skip-test-db'], identity)
  const args = [
    '--no-defaults',
    `--datadir=${data}`,
    tmpdir,
    `--socket=${join(home, 'socket')}`,
    `--pid-file=${join(home, 'pid')}`,
    '--bind-address=127.0.0.1',
    `--port=${port}`,
    '--character-set-server=utf8mb4',
    // Durable as installed (innodb_flush_log_at_trx_commit=1), with the room that PostgreSQL gets.
    `--innodb-buffer-pool-size=${memoryMb}M`,
    '--innodb-log-file-size=1G'
  ]
  const program = startProgram(server, args, { identity })
  const note = `innodb_flush_log_at_trx_commit 1, no binary log, buffer pool ${memoryMb} MB`
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
    async settle() {
      if (program) await writePages(connection)
    },
    async stop() {
      connection.destroy()
      await program?.stop()
    }
  }
}

/** Has the changed pages written, as a checkpoint of PostgreSQL does. */
async function writePages(connection) {
  const names = ['innodb_max_dirty_pages_pct', 'innodb_max_dirty_pages_pct_lwm']
  const [[before]] = await connection.query(`SELECT ${names.map((name) => `@@${name} AS ${name}`).join(', ')}`)
  const set = async (wanted) => {
    for (const name of names) await connection.query(`SET GLOBAL ${name} = ${wanted(name)}`)
  }
  await set(() => 0)
  const end = Date.now() + 120_000
  let dirty = Number.POSITIVE_INFINITY
  while (dirty > 100 && Date.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 200))
    const [[row]] = await connection.query("SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_dirty'")
    dirty = Number(row.Value)
  }
  await set((name) => before[name])
}
