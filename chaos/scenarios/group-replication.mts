import { ownership } from '../children.mts'
import { Workplace } from '../servers/daemon.mts'
import { ASKING_A_MEMBER_ALONE, type GroupMember, type Mode, startGroup } from '../servers/group-replication.mts'
import { MYSQL_ACCOUNTS } from '../servers/mariadb.mts'
import { OwnNetwork } from '../servers/own-network.mts'
import { startMemberProxy } from '../servers/proxies.mts'
import { runScene } from '../stage.mts'
import { placeOnCluster } from './cluster.mts'
import { ALL_KEPT, type Row, type Run, type Scenario, type Scene } from './scenario.mts'

interface Group extends Scene {
  readonly members: readonly [GroupMember, GroupMember, GroupMember]
  /** The network of the first member, where it has one of its own. */
  readonly network: OwnNetwork | undefined
}

type Fault = (group: Group) => Promise<void>

interface Setting {
  readonly mode: Mode
  readonly consistency: string
  /** Whether haproxy leads the processes of the site to the primary, or each to a member of its own. If not, each is at a member itself. */
  readonly isProxied: boolean
  /** Whether the first member can be cut off from the others. */
  readonly isCuttable: boolean
}

/** Three members, the first one the primary where there is one. */
async function onGroup(run: Run, { mode, consistency, isProxied, isCuttable }: Setting, breakIt: Fault): Promise<Row> {
  await using stack = new AsyncDisposableStack()
  const owned = ownership(stack)
  run.say('starting the servers')
  const workplace = owned(await Workplace.make(MYSQL_ACCOUNTS))
  const network = isCuttable ? owned(await OwnNetwork.make(workplace)) : undefined
  const members = await startGroup(workplace, mode, [`--loose-group_replication_consistency=${consistency}`], owned, network)
  const place = await placeOnCluster(
    members,
    mode === 'single-primary' ? members.slice(0, 1) : members,
    isProxied ? async (addresses, isReady) => owned(await startMemberProxy(workplace, addresses, isReady)) : undefined
  )
  // A row of its own each time: the same row on two members, one after the other, may be a conflict where nothing is broken.
  let rows = 1
  const probe = () => `INSERT INTO chaos_probe VALUES (${++rows}, 0)`
  const ready = { ...place, probe, beforeAsking: ASKING_A_MEMBER_ALONE }
  return await runScene(ready, run, (scene) => breakIt({ ...scene, members, network }))
}

/**
 * With EVENTUAL, a member that lags behind or is cut off may not have a session yet. A sign-out there finds none, so it ends nothing. What was
 * set is kept nevertheless: the group refuses the change of a row that another member has changed meanwhile.
 */
const PROMISED_BY_EVENTUAL: Run['promised'] = { ...ALL_KEPT, destroys: false }

const MODES = {
  single: { mode: 'single-primary', consistencies: ['BEFORE_ON_PRIMARY_FAILOVER', 'EVENTUAL'] },
  multi: { mode: 'multi-primary', consistencies: ['BEFORE', 'EVENTUAL'] }
} as const

const PROXIED = { isProxied: true, isCuttable: false }
const PROXIED_AND_CUTTABLE = { isProxied: true, isCuttable: true }
const AT_THE_MEMBERS = { isProxied: false, isCuttable: false }
const AT_THE_MEMBERS_AND_CUTTABLE = { isProxied: false, isCuttable: true }

function inEachWay(of: keyof typeof MODES, name: string, title: string, seconds: number, breakIt: Fault, setting = PROXIED): Scenario[] {
  const { mode, consistencies } = MODES[of]
  return consistencies.map((consistency) => ({
    name: `group-${of}-${name}-${consistency.toLowerCase().split('_')[0]}`,
    title: `MySQL Group Replication, ${mode}, group_replication_consistency=${consistency}: ${title}`,
    databases: ['mysql'],
    seconds,
    promised: consistency === 'EVENTUAL' ? PROMISED_BY_EVENTUAL : ALL_KEPT,
    run: (_database, run) => onGroup(run, { ...setting, mode, consistency }, breakIt)
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

const isolate: Fault = async ({ members: [member, other], network, wait, seconds, mark }) => {
  if (network === undefined) throw new Error('the member has no network of its own')
  mark('cutting off')
  await network.cut()
  await other.knows(2)
  mark('the others have expelled it')
  await wait(seconds)
  await network.mend()
  mark('let in again')
  // The others first: until it has heard that it was expelled, the member itself still knows the group of before.
  await other.knows(3)
  await member.knows(3)
  mark('joined again')
}

export const groupReplicationScenarios: readonly Scenario[] = [
  ...inEachWay('single', 'calm', 'nothing is broken', 6, calm),
  ...inEachWay('single', 'killed', 'the primary is killed, and joins again', 20, kill),
  ...inEachWay('single', 'frozen', 'the primary is stopped (SIGSTOP), and goes on', 15, freeze),
  ...inEachWay('single', 'switchover', 'another member is made the primary', 6, switchOver),
  ...inEachWay('single', 'quorum', 'two members are stopped, so that the third one commits nothing, and go on', 12, loseQuorum),
  ...inEachWay('single', 'isolated', 'the primary is cut off from the others, and let in again', 12, isolate, PROXIED_AND_CUTTABLE),
  ...inEachWay('multi', 'calm', 'nothing is broken', 6, calm),
  ...inEachWay('multi', 'killed', 'a member is killed, and joins again', 20, kill),
  ...inEachWay('multi', 'frozen', 'a member is stopped (SIGSTOP), and goes on', 15, freeze),
  ...inEachWay('multi', 'quorum', 'two members are stopped, so that the third one commits nothing, and go on', 12, loseQuorum),
  ...inEachWay(
    'multi',
    'isolated',
    'a member is cut off from the others, not from its process, and let in again',
    12,
    isolate,
    AT_THE_MEMBERS_AND_CUTTABLE
  ),
  {
    name: 'group-multi-conflicts-eventual',
    title:
      'MySQL Group Replication, multi-primary, group_replication_consistency=EVENTUAL: processes on all members write the same sessions at once (3101)',
    databases: ['mysql'],
    seconds: 12,
    promised: PROMISED_BY_EVENTUAL,
    noErrors: true,
    mustOccur: ['3101'],
    run: (_database, run) => onGroup(run, { ...AT_THE_MEMBERS, mode: 'multi-primary', consistency: 'EVENTUAL' }, calm)
  }
]
