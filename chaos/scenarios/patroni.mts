import { ownership } from '../children.mts'
import { Workplace } from '../servers/daemon.mts'
import { PatroniCluster } from '../servers/patroni.mts'
import { POSTGRES_ACCOUNTS } from '../servers/postgres.mts'
import { startHaproxy } from '../servers/proxies.mts'
import { connectAdmin, newName, tryPlainConnection } from '../servers/server.mts'
import { runScene } from '../stage.mts'
import { ALL_KEPT, NONE_KEPT, type Row, type Run, type Scenario, type Scene, SETS_KEPT } from './scenario.mts'

interface Managed extends Scene {
  readonly cluster: PatroniCluster
}

/** Two members of a Patroni cluster behind haproxy, which asks Patroni for the primary. */
async function onPatroni(run: Run, isSynchronous: boolean, breakIt: (scene: Managed) => Promise<void>): Promise<Row> {
  await using stack = new AsyncDisposableStack()
  const owned = ownership(stack)
  run.say('starting the servers')
  const workplace = owned(await Workplace.make(POSTGRES_ACCOUNTS))
  const cluster = owned(await PatroniCluster.start(workplace, isSynchronous))
  const name = newName()
  const urlAt = (port: number) => `postgres://postgres@127.0.0.1:${port}/${name}`
  {
    const { port } = await cluster.leader()
    await using admin = await connectAdmin('postgres', `postgres://postgres@127.0.0.1:${port}/postgres`)
    await admin.query(`CREATE DATABASE ${name}`)
  }
  const proxy = owned(await startHaproxy(workplace, cluster.members, (port) => tryPlainConnection('postgres', urlAt(port))))
  const direct = () => cluster.members.filter(({ daemon }) => daemon.isRunning).map(({ port }) => urlAt(port))
  return await runScene({ database: 'postgres', urls: [urlAt(proxy.port)], name, direct }, run, (scene) => breakIt({ ...scene, cluster }))
}

const common = { databases: ['postgres'] as const, seconds: 12 }

const kill = async ({ cluster, wait, seconds, mark }: Managed) => {
  mark('killing the leader')
  await cluster.kill(await cluster.leader())
  await wait(seconds)
}

export const patroniScenarios: readonly Scenario[] = [
  {
    ...common,
    name: 'patroni-killed',
    title: 'Patroni, asynchronous: the leader and its PostgreSQL are killed',
    promised: NONE_KEPT,
    run: (_database, run) => onPatroni(run, false, kill)
  },
  {
    ...common,
    name: 'patroni-killed-sync',
    title: 'Patroni in its synchronous mode: the leader and its PostgreSQL are killed',
    promised: SETS_KEPT,
    run: (_database, run) => onPatroni(run, true, kill)
  },
  {
    ...common,
    name: 'patroni-switchover',
    title: 'Patroni: the leader hands over to the other member',
    promised: ALL_KEPT,
    run: (_database, run) =>
      onPatroni(run, false, async ({ cluster, wait, seconds, mark }) => {
        mark('switching over')
        await cluster.switchover(await cluster.leader())
        await wait(seconds)
      })
  }
]
