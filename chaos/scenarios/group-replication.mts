import { ownership } from '../children.mts'
import { Workplace } from '../servers/daemon.mts'
import { type GroupMember, type Mode, startGroup } from '../servers/group-replication.mts'
import { MYSQL_ACCOUNTS } from '../servers/mariadb.mts'
import { startMemberProxy } from '../servers/proxies.mts'
import { runScene } from '../stage.mts'
import { placeOnCluster } from './cluster.mts'
import { ALL_KEPT, type Row, type Run, type Scenario, type Scene } from './scenario.mts'

interface Group extends Scene {
  readonly members: readonly [GroupMember, GroupMember, GroupMember]
}

type Fault = (group: Group) => Promise<void>

/**
 * Three members behind haproxy, which leads all processes of the site to the primary, or each to a member of its own. Not proxied, each
 * process is at a member itself.
 */
async function onGroup(run: Run, mode: Mode, consistency: string, breakIt: Fault, isProxied = true): Promise<Row> {
  await using stack = new AsyncDisposableStack()
  const owned = ownership(stack)
  run.say('starting the servers')
  const workplace = owned(await Workplace.make(MYSQL_ACCOUNTS))
  const members = await startGroup(workplace, mode, [`--loose-group_replication_consistency=${consistency}`], owned)
  const place = await placeOnCluster(
    members,
    mode === 'single-primary' ? members.slice(0, 1) : members,
    isProxied ? async (ports, isReady) => owned(await startMemberProxy(workplace, ports, isReady)) : undefined
  )
  // A row of its own each time: the same row on two members, one after the other, may be a conflict where nothing is broken.
  let rows = 1
  const probe = () => `INSERT INTO chaos_probe VALUES (${++rows}, 0)`
  return await runScene({ ...place, probe }, run, (scene) => breakIt({ ...scene, members }))
}

const MODES = {
  single: { mode: 'single-primary', consistencies: ['BEFORE_ON_PRIMARY_FAILOVER', 'EVENTUAL'] },
  multi: { mode: 'multi-primary', consistencies: ['BEFORE', 'EVENTUAL'] }
} as const

function inEachWay(of: keyof typeof MODES, name: string, title: string, seconds: number, breakIt: Fault): Scenario[] {
  const { mode, consistencies } = MODES[of]
  return consistencies.map((consistency) => ({
    name: `group-${of}-${name}-${consistency.toLowerCase().split('_')[0]}`,
    title: `MySQL Group Replication, ${mode}, group_replication_consistency=${consistency}: ${title}`,
    databases: ['mysql'],
    seconds,
    promised: ALL_KEPT,
    run: (_database, run) => onGroup(run, mode, consistency, breakIt)
  }))
}

const calm: Fault = ({ wait, seconds }) => wait(seconds)

const kill: Fault = async ({ members: [member], wait, seconds, mark }) => {
  mark('killing')
  await member.daemon.kill()
  await wait(seconds / 2)
  await member.start('joining')
  mark('joined again')
  await wait(seconds / 2)
}

const freeze: Fault = async ({ members: [member], wait, seconds, mark }) => {
  mark('stopping')
  await member.daemon.signalAll('SIGSTOP')
  await wait(seconds)
  mark('going on')
  await member.daemon.signalAll('SIGCONT')
}

const loseQuorum: Fault = async ({ members: [, ...others], wait, seconds, mark }) => {
  mark('stopping')
  for (const member of others) await member.daemon.signalAll('SIGSTOP')
  await wait(seconds)
  mark('going on')
  for (const member of others) await member.daemon.signalAll('SIGCONT')
}

const switchOver: Fault = async ({ members: [, member], wait, seconds, mark }) => {
  mark('switching over')
  await member.promote()
  mark('switched over')
  await wait(seconds)
}

export const groupReplicationScenarios: readonly Scenario[] = [
  ...inEachWay('single', 'calm', 'nothing is broken', 6, calm),
  ...inEachWay('single', 'killed', 'the primary is killed, and joins again', 20, kill),
  ...inEachWay('single', 'frozen', 'the primary is stopped (SIGSTOP), and goes on', 15, freeze),
  ...inEachWay('single', 'switchover', 'another member is made the primary', 6, switchOver),
  ...inEachWay('single', 'quorum', 'two members are stopped, so that the third one commits nothing, and go on', 12, loseQuorum),
  ...inEachWay('multi', 'calm', 'nothing is broken', 6, calm),
  ...inEachWay('multi', 'killed', 'a member is killed, and joins again', 20, kill),
  ...inEachWay('multi', 'frozen', 'a member is stopped (SIGSTOP), and goes on', 15, freeze),
  ...inEachWay('multi', 'quorum', 'two members are stopped, so that the third one commits nothing, and go on', 12, loseQuorum),
  {
    name: 'group-multi-conflicts-eventual',
    title:
      'MySQL Group Replication, multi-primary, group_replication_consistency=EVENTUAL: processes on all members write the same sessions at once (3101)',
    databases: ['mysql'],
    seconds: 12,
    promised: ALL_KEPT,
    noErrors: true,
    mustOccur: ['3101'],
    run: (_database, run) => onGroup(run, 'multi-primary', 'EVENTUAL', calm, false)
  }
]
