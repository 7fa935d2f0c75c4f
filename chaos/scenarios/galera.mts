import { ownership } from '../children.mts'
import { Workplace } from '../servers/daemon.mts'
import { type GaleraNode, startGalera } from '../servers/galera.mts'
import { MYSQL_ACCOUNTS } from '../servers/mariadb.mts'
import { startNodeProxy } from '../servers/proxies.mts'
import { connectAdmin } from '../servers/server.mts'
import { runScene } from '../stage.mts'
import { placeOnCluster } from './cluster.mts'
import { ALL_KEPT, type Row, type Run, type Scenario, type Scene } from './scenario.mts'

interface Cluster extends Scene {
  readonly nodes: readonly [GaleraNode, GaleraNode, GaleraNode]
}

/** Three nodes, and a process of the site at each. Where its node is gone, haproxy leads it to another one, unless it is at the node itself. */
async function onGalera(
  run: Run,
  settings: readonly string[],
  isProxied: boolean,
  breakIt: (cluster: Cluster) => Promise<void>
): Promise<Row> {
  await using stack = new AsyncDisposableStack()
  const owned = ownership(stack)
  run.say('starting the servers')
  const workplace = owned(await Workplace.make(MYSQL_ACCOUNTS))
  const nodes = await startGalera(workplace, settings, owned)
  const place = await placeOnCluster(
    nodes,
    nodes,
    isProxied ? async (addresses, isReady) => owned(await startNodeProxy(workplace, addresses, isReady)) : undefined
  )
  return await runScene(place, run, (scene) => breakIt({ ...scene, nodes }))
}

const WAYS = { '': [], '-sync-wait-1': ['--wsrep-sync-wait=1'], '-sync-wait-7': ['--wsrep-sync-wait=7'] } as const

function inEachWay(name: string, title: string, seconds: number, breakIt: (cluster: Cluster) => Promise<void>): Scenario[] {
  return Object.entries(WAYS).map(([way, settings]) => ({
    name: `galera-${name}${way}`,
    title: `three Galera nodes${way.replace('-sync-wait-', ', wsrep_sync_wait=')}: ${title}`,
    databases: ['mysql'],
    seconds,
    promised: ALL_KEPT,
    run: (_database, run) => onGalera(run, settings, true, breakIt)
  }))
}

/** The processes are at the nodes themselves, so that each error of a node comes to the store. */
function atTheNodes(
  scenario: Pick<Scenario, 'name' | 'title' | 'seconds'> & Partial<Scenario>,
  breakIt: (cluster: Cluster) => Promise<void>
): Scenario {
  const run: Scenario['run'] = (_database, given) => onGalera(given, WAYS['-sync-wait-7'], false, breakIt)
  return { databases: ['mysql'], promised: ALL_KEPT, ...scenario, run }
}

/** Cuts the node off from the others, or lets it in again. */
async function isolate(node: GaleraNode, isCutOff: boolean): Promise<void> {
  await using admin = await connectAdmin('mysql', node.url)
  await admin.query(`SET GLOBAL wsrep_provider_options = 'gmcast.isolate=${isCutOff ? 1 : 0}'`)
}

export const galeraScenarios: readonly Scenario[] = [
  ...inEachWay('calm', 'nothing is broken', 6, ({ wait, seconds }) => wait(seconds)),

  ...inEachWay('killed', 'a node is killed, and joins again', 12, async ({ nodes: [node], wait, seconds }) => {
    await node.daemon.kill()
    await wait(seconds / 2)
    await node.start('joining')
    await wait(seconds / 2)
  }),

  ...inEachWay('frozen', 'a node is stopped (SIGSTOP), and goes on', 12, async ({ nodes: [node], wait, seconds, mark }) => {
    mark('stopping')
    await node.daemon.signalAll('SIGSTOP')
    await wait(seconds)
    mark('going on')
    await node.daemon.signalAll('SIGCONT')
  }),

  ...inEachWay(
    'quorum',
    'two nodes are stopped, so that the third one serves nothing, and go on',
    12,
    async ({ nodes: [, ...others], wait, seconds }) => {
      for (const node of others) await node.daemon.signalAll('SIGSTOP')
      await wait(seconds)
      for (const node of others) await node.daemon.signalAll('SIGCONT')
    }
  ),

  atTheNodes(
    {
      name: 'galera-conflicts',
      title: 'three Galera nodes, wsrep_sync_wait=7: processes on all of them write the same sessions at once (1213)',
      seconds: 12,
      noErrors: true,
      mustOccur: ['1213']
    },
    ({ wait, seconds }) => wait(seconds)
  ),

  atTheNodes(
    {
      name: 'galera-isolated',
      title: 'three Galera nodes, wsrep_sync_wait=7: one is cut off from the others again and again, with commits under way (1047, 1180)',
      seconds: 18,
      mustOccur: ['1047', '1180']
    },
    async ({ nodes: [node], wait, seconds, mark }) => {
      for (let time = 0; time < 3; time++) {
        mark('cutting off')
        await isolate(node, true)
        await wait(seconds / 6)
        await isolate(node, false)
        mark('let in again')
        await wait(seconds / 6)
      }
    }
  )
]
