import { ownership } from '../children.mts'
import { Workplace } from '../servers/daemon.mts'
import { POSTGRES_ACCOUNTS, PostgresServer } from '../servers/postgres.mts'
import { startBouncer, startHaproxy } from '../servers/proxies.mts'
import { connectAdmin, newName, tryPlainConnection, withPath } from '../servers/server.mts'
import { runScene } from '../stage.mts'
import { ALL_KEPT, NONE_KEPT, type Row, type Run, type Scenario, SETS_KEPT } from './scenario.mts'

interface Pair {
  readonly replication: 'asynchronous' | 'synchronous'
  readonly through: 'haproxy' | 'pgbouncer'
}

/** A primary and its standby: all processes of the primary are killed, and the standby is promoted. */
async function failover(run: Run, { replication, through }: Pair): Promise<Row> {
  await using stack = new AsyncDisposableStack()
  const owned = ownership(stack)
  run.say('starting the servers')
  const workplace = owned(await Workplace.make(POSTGRES_ACCOUNTS))
  const primary = owned(await PostgresServer.start(workplace, 'primary'))
  const standby = owned(await PostgresServer.start(workplace, 'standby', primary))
  const name = newName()
  {
    await using admin = await connectAdmin('postgres', primary.url)
    await admin.query(`CREATE DATABASE ${name}`)
    if (replication === 'synchronous') {
      await admin.query(`ALTER SYSTEM SET synchronous_standby_names = 'standby'`)
      await admin.query('SELECT pg_reload_conf()')
    }
  }
  const urlAt = (port: number) => `postgres://postgres@127.0.0.1:${port}/${name}`
  const isReady = (port: number) => tryPlainConnection('postgres', urlAt(port))
  const behind = [
    { name: 'a', port: primary.port },
    { name: 'b', port: standby.port }
  ]
  const proxy = owned(await startHaproxy(workplace, behind, isReady))
  const { port } = through === 'pgbouncer' ? owned(await startBouncer(workplace, proxy.port, isReady)) : proxy
  const place = {
    database: 'postgres' as const,
    urls: [urlAt(port)],
    name,
    isPooled: through === 'pgbouncer',
    direct: () => [withPath(standby.url, name)]
  }
  return await runScene(place, run, async ({ wait, seconds }) => {
    await primary.crash()
    await wait(seconds / 3)
    await standby.promote(workplace)
  })
}

function scenario(name: string, pair: Pair, promised: Run['promised'], options = {}): Scenario {
  return {
    name,
    title: `${pair.replication} standby behind ${pair.through}: the primary is killed and the standby promoted`,
    databases: ['postgres'],
    seconds: 6,
    promised,
    options,
    run: (_database, run) => failover(run, pair)
  }
}

export const failoverScenarios: readonly Scenario[] = [
  scenario('failover-async', { replication: 'asynchronous', through: 'haproxy' }, NONE_KEPT),
  scenario('failover-async-pgbouncer', { replication: 'asynchronous', through: 'pgbouncer' }, NONE_KEPT, { prepare: false }),
  scenario('failover-sync', { replication: 'synchronous', through: 'haproxy' }, SETS_KEPT),
  scenario('failover-sync-all', { replication: 'synchronous', through: 'haproxy' }, ALL_KEPT, { durability: 'all' }),
  scenario('failover-sync-pgbouncer', { replication: 'synchronous', through: 'pgbouncer' }, SETS_KEPT, { prepare: false })
]
