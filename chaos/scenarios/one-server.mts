import { Line } from '../../spec/races/line.mts'
import { ownership } from '../children.mts'
import { Workplace } from '../servers/daemon.mts'
import { MariadbServer, MYSQL_ACCOUNTS } from '../servers/mariadb.mts'
import { POSTGRES_ACCOUNTS, PostgresServer } from '../servers/postgres.mts'
import { RedisDatabase } from '../servers/redis.mts'
import { type Admin, connectAdmin, newName, withPath, withPort } from '../servers/server.mts'
import { runScene } from '../stage.mts'
import type { DatabaseName } from '../stores.mts'
import { ALL_KEPT, type Row, type Run, type Scenario, type Scene, SETS_KEPT } from './scenario.mts'

type Server = PostgresServer | MariadbServer | RedisDatabase

/** What a scenario has to break where there is but a line to the database. */
interface Lined extends Scene {
  readonly database: DatabaseName
  readonly line: Line
  /** The name of the sessions table. */
  readonly table: string
  admin(): Promise<Admin>
}

/** What a scenario on one server has to break. */
interface OneServer extends Lined {
  readonly server: Server
}

/** Runs it on a server of its own, over a line that can be broken. */
export async function onOneServer(database: DatabaseName, run: Run, breakIt: (scene: OneServer) => Promise<void>): Promise<Row> {
  await using stack = new AsyncDisposableStack()
  const owned = ownership(stack)
  run.say('starting the server')
  const accounts = { postgres: POSTGRES_ACCOUNTS, mysql: MYSQL_ACCOUNTS, redis: ['redis', 'node', 'nobody'] }[database]
  const workplace = owned(await Workplace.make(accounts))
  const kinds = { postgres: PostgresServer, mysql: MariadbServer, redis: RedisDatabase }
  const server: Server = owned(await kinds[database].start(workplace, 'data'))
  const name = database === 'redis' ? undefined : newName()
  const adminUrl = name === undefined ? server.url : withPath(server.url, name)
  if (name !== undefined) await prepare(database, server.url, name)
  const line = owned(await new Line({ host: '127.0.0.1', port: server.port }).open())
  const url = withPort(withUser(database, adminUrl), line.port)
  const place = { database, urls: [url], name, direct: () => [adminUrl], onLine: () => line.connections, sweep: () => line.sweep() }
  return await runScene(place, run, (scene) =>
    breakIt({ ...scene, database, line, server, table: TABLE, admin: () => connectAdmin(database, adminUrl) })
  )
}

/** Runs it on a database that runs already, in a table of its own. */
async function onUrl(database: DatabaseName, url: string, run: Run, breakIt: (scene: Lined) => Promise<void>): Promise<Row> {
  await using stack = new AsyncDisposableStack()
  const owned = ownership(stack)
  const table = newName()
  const { hostname, port } = new URL(url)
  const line = owned(await new Line({ host: hostname, port: Number(port || DEFAULT_PORTS[database]) }).open())
  const admin = () => connectAdmin(database, url)
  stack.defer(async () => {
    await using connection = await admin()
    await connection.query(`DROP TABLE IF EXISTS ${table}`)
  })
  const place = {
    database,
    urls: [withPort(url, line.port)],
    name: undefined,
    direct: () => [url],
    onLine: () => line.connections,
    sweep: () => line.sweep()
  }
  const options = { ...run.options, tableName: table }
  return await runScene(place, { ...run, options }, (scene) => breakIt({ ...scene, database, line, table, admin }))
}

const TABLE = 'sessions'
const DEFAULT_PORTS: Readonly<Record<DatabaseName, number>> = { postgres: 5432, mysql: 3306, redis: 6379 }

/** The database, and an application's user: root is let through where others are not. */
export async function prepare(database: DatabaseName, serverUrl: string, name: string): Promise<void> {
  await using admin = await connectAdmin(database, serverUrl)
  await admin.query(`CREATE DATABASE ${name}`)
  if (database !== 'mysql') return
  await admin.query(`CREATE USER app@'%' IDENTIFIED BY ''`)
  await admin.query(`GRANT ALL ON ${name}.* TO app@'%'`)
}

export function withUser(database: DatabaseName, url: string): string {
  const changed = new URL(url)
  if (database === 'mysql') changed.username = 'app'
  return changed.href
}

function oneServer(
  scenario: Omit<Scenario, 'run' | 'promised' | 'databases'> & Partial<Pick<Scenario, 'promised' | 'databases'>>,
  breakIt: (scene: OneServer) => Promise<void>
): Scenario {
  return {
    promised: ALL_KEPT,
    databases: ['postgres', 'mysql', 'redis'],
    ...scenario,
    run: (database, run) => onOneServer(database, run, breakIt)
  }
}

/** It takes a line alone, so it can be had wherever a URL leads. */
function overLine(scenario: Parameters<typeof oneServer>[0], breakIt: (scene: Lined) => Promise<void>): Scenario {
  return { ...oneServer(scenario, breakIt), runOn: (database, url, run) => onUrl(database, url, run, breakIt) }
}

export const oneServerScenarios: readonly Scenario[] = [
  overLine({ name: 'calm', title: 'nothing is broken: what the machine does', seconds: 5 }, ({ wait, seconds }) => wait(seconds)),

  oneServer(
    { name: 'restart', title: 'the server is restarted, twice, with calls in flight', seconds: 6, visitors: 200 },
    async ({ server, wait, seconds }) => {
      for (let time = 0; time < 2; time++) {
        await server.restart()
        await wait(seconds / 2)
      }
    }
  ),

  oneServer(
    { name: 'crash', title: 'all processes of the server are killed, and it is started again', seconds: 6, promised: SETS_KEPT },
    async ({ server, wait, seconds, mark }) => {
      for (let time = 0; time < 2; time++) {
        mark('killing')
        await server.crash()
        mark('killed')
        await wait(seconds / 6)
        await server.start()
        mark('started')
        await wait(seconds / 3)
      }
    }
  ),

  oneServer(
    { name: 'freeze', title: 'all processes of the server are stopped (SIGSTOP), and go on', seconds: 12 },
    async ({ server, wait, seconds }) => {
      await server.daemon.signalAll('SIGSTOP')
      await wait(seconds)
      await server.daemon.signalAll('SIGCONT')
    }
  ),

  overLine(
    { name: 'line-frozen', title: 'the line to the server stands still, and goes on', seconds: 12 },
    async ({ line, wait, seconds }) => {
      line.freeze()
      await wait(seconds)
      line.thaw()
    }
  ),

  overLine(
    { name: 'resets', title: 'connections are reset in mid-statement, five times a second', seconds: 6 },
    async ({ line, wait, seconds }) => {
      for (let time = 0; time < seconds * 5; time++) {
        line.reset()
        await wait(0.2)
      }
    }
  ),

  overLine(
    { name: 'network', title: 'the network delays pieces, halves them, and forgets connections', seconds: 12 },
    async ({ line, wait, seconds }) => {
      line.disturb({ delayMs: 30, halved: 0.3, lost: 0.002 })
      await wait(seconds)
      line.disturb(undefined)
    }
  ),

  overLine(
    { name: 'pool-held', title: 'the application holds all connections of its pool', seconds: 12, databases: ['postgres', 'mysql'] },
    async ({ sites, wait, seconds }) => {
      await Promise.all(sites.map((site) => site.order('holdPool')))
      await wait(seconds)
      await Promise.all(sites.map((site) => site.order('releasePool')))
    }
  ),

  oneServer(
    { name: 'read-only', title: 'the server takes no writes', seconds: 6, databases: ['postgres', 'mysql'] },
    async ({ database, admin, wait, seconds }) => {
      await using connection = await admin()
      const set = async (value: 'on' | 'off') => {
        if (database === 'mysql') return void (await connection.query(`SET GLOBAL read_only = ${value}`))
        await connection.query(`ALTER SYSTEM SET default_transaction_read_only = ${value}`)
        await connection.query('SELECT pg_reload_conf()')
      }
      await set('on')
      await wait(seconds)
      await set('off')
    }
  ),

  oneServer(
    {
      name: 'read-only-connections',
      title: 'new connections take no writes, as where a full server is set read-only, and then they do again',
      seconds: 25,
      databases: ['postgres']
    },
    async ({ admin, line, wait, seconds, mark }) => {
      await using connection = await admin()
      const [row] = await connection.query('SELECT current_database() AS name')
      await connection.query(`ALTER DATABASE ${row?.name} SET default_transaction_read_only = on`)
      line.cut()
      await wait(seconds)
      // The connections that there are stay as they are.
      await connection.query('SET default_transaction_read_only = off')
      await connection.query(`ALTER DATABASE ${row?.name} RESET default_transaction_read_only`)
      mark('new connections take writes')
    }
  ),

  overLine(
    { name: 'row-locked', title: 'rows of sessions are locked by another transaction', seconds: 30, databases: ['postgres', 'mysql'] },
    async ({ table, admin, wait, seconds }) => {
      await using connection = await admin()
      await connection.query('BEGIN')
      await connection.query(`SELECT * FROM ${table} ORDER BY 1 LIMIT 3 FOR UPDATE`)
      await wait(seconds)
      await connection.query('ROLLBACK')
    }
  ),

  overLine(
    { name: 'clock', title: 'the clock of a process is an hour ahead, then an hour behind', seconds: 6 },
    async ({ sites, wait, seconds }) => {
      for (const hours of [1, -1, 0]) {
        await sites[0]?.order('stepClock', hours * 3_600_000)
        await wait(seconds / 3)
      }
    }
  )
]
