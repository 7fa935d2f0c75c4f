import { ownership } from '../children.mts'
import { Workplace } from '../servers/daemon.mts'
import { MariadbServer, MYSQL_ACCOUNTS } from '../servers/mariadb.mts'
import { POSTGRES_ACCOUNTS, PostgresServer } from '../servers/postgres.mts'
import { connectAdmin, newName, tryPlainConnection, withPath } from '../servers/server.mts'
import { SmallDisk } from '../servers/small-disk.mts'
import { runScene } from '../stage.mts'
import type { DatabaseName } from '../stores.mts'
import { prepare, withUser } from './one-server.mts'
import { ALL_KEPT, type Row, type Run, type Scenario, SETS_KEPT } from './scenario.mts'

/** What is on the disk that gets full: the tables, the log without which nothing is committed (WAL, binary log), or both. */
type OnDisk = 'tables' | 'log' | 'both'

const DISK_MB = { tables: 256, log: 64, both: 256 }
const BALLAST_BYTES = 16_384
/** How long a server may need to find that there is room again: MariaDB looks once a minute. */
const NOTICED_MS = 90_000

/** A small log in small pieces, so that the server soon needs room for the next one. */
const SMALL_WAL = { settings: ['wal_keep_size=0', 'min_wal_size=2MB', 'max_wal_size=16MB'], initdb: ['--wal-segsize=1'] }
const SMALL_LOG = ['--innodb-log-file-size=16M', '--innodb-buffer-pool-size=64M']

/** Needs room on each of the disks: what there is has some inside for a while. */
function takesRoom(database: DatabaseName): string {
  return database === 'postgres' ? `CREATE TABLE ${newName()} AS SELECT 1 AS n` : `CREATE TABLE ${newName()} (n int)`
}

async function startOn(disk: SmallDisk, database: DatabaseName, onDisk: OnDisk, workplace: Workplace) {
  if (database === 'mysql') {
    const log = onDisk === 'tables' ? [] : [`--log-bin=${disk.folder}/log`]
    return MariadbServer.start(workplace, onDisk === 'log' ? 'data' : `${disk.name}/data`, [...SMALL_LOG, ...log])
  }
  // The tables alone are in a tablespace.
  if (onDisk === 'tables') return PostgresServer.start(workplace, 'data')
  if (onDisk === 'both') return PostgresServer.start(workplace, `${disk.name}/data`, undefined, SMALL_WAL)
  const initdb = [...SMALL_WAL.initdb, `--waldir=${disk.folder}/wal`]
  return PostgresServer.start(workplace, 'data', undefined, { ...SMALL_WAL, initdb })
}

async function onSmallDisk(database: DatabaseName, run: Run, onDisk: OnDisk): Promise<Row> {
  await using stack = new AsyncDisposableStack()
  const owned = ownership(stack)
  run.say('starting the server')
  const workplace = owned(await Workplace.make(database === 'mysql' ? MYSQL_ACCOUNTS : POSTGRES_ACCOUNTS))
  const disk = owned(await SmallDisk.mount(workplace, 'disk', DISK_MB[onDisk]))
  const server = owned(await startOn(disk, database, onDisk, workplace))
  const name = newName()
  if (database === 'postgres' && onDisk === 'tables') {
    const folder = await workplace.makeFolder(`${disk.name}/tables`)
    await using admin = await connectAdmin(database, server.url)
    await admin.query(`CREATE TABLESPACE small LOCATION '${folder}'`)
    await admin.query(`CREATE DATABASE ${name} TABLESPACE small`)
  } else await prepare(database, server.url, name)
  const adminUrl = withPath(server.url, name)
  const url = withUser(database, adminUrl)
  const probe = () => takesRoom(database)
  const place = { database, urls: [url], name, probe, ballastBytes: BALLAST_BYTES, direct: () => [adminUrl] }
  return await runScene(place, run, async ({ wait, seconds, mark }) => {
    mark('filling the disk')
    await disk.fill()
    await wait(seconds)
    await disk.free()
    mark('there is room')
    // PostgreSQL ends where it cannot write its log, and somebody has to start it.
    if (!server.daemon.isRunning) {
      mark('starting the server')
      await server.start()
    }
    await until(NOTICED_MS, () => tryPlainConnection(database, url, probe()))
    mark('a plain write has found room')
  })
}

async function until(limitMs: number, succeeds: () => Promise<void>): Promise<void> {
  const deadline = performance.now() + limitMs
  for (;;) {
    try {
      return await succeeds()
    } catch (error) {
      if (performance.now() > deadline) throw error
    }
  }
}

const common = { databases: ['postgres', 'mysql'] as const, seconds: 12 }

export const diskFullScenarios: readonly Scenario[] = [
  {
    ...common,
    name: 'disk-full',
    title: 'the disk of the tables is full, and then it is not',
    promised: ALL_KEPT,
    run: (database, run) => onSmallDisk(database, run, 'tables')
  },
  {
    ...common,
    name: 'disk-full-log',
    title: 'the disk of the log (WAL, binary log) is full, and then it is not',
    // PostgreSQL crashes.
    promised: SETS_KEPT,
    run: (database, run) => onSmallDisk(database, run, 'log')
  },
  {
    ...common,
    name: 'disk-full-both',
    title: 'the one disk of the tables and of the log is full, and then it is not',
    promised: SETS_KEPT,
    run: (database, run) => onSmallDisk(database, run, 'both')
  }
]
