import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort } from '../../spec/support/local-server.ts'
import { installedMysql } from '../../spec/support/mysql-server.ts'
import { Daemon, type Workplace } from './daemon.mts'
import { whereItLives } from './mysql-flags.mts'
import { OWN_NETWORKS, type OwnNetwork } from './own-network.mts'
import { connectAdmin, tryPlainConnection } from './server.mts'

const LOOPBACK = '127.0.0.1'
const GROUP = 'c4a05c4a-0c4a-4c4a-8c4a-0c4a05c4a05c'
const MEMBER = 'FROM performance_schema.replication_group_members WHERE member_id = @@server_uuid'
/** Root may come from another network too. */
const ROOT_FROM_ANYWHERE = `CREATE USER root@'%'; GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;\n`

export type Mode = 'single-primary' | 'multi-primary'

/** Where a member is found. */
interface Place {
  /** By applications. */
  readonly host: string
  /** By the other members. */
  readonly groupHost: string
  readonly port: number
  readonly groupPort: number
  /** Where its program runs, if not in the network of this machine. */
  readonly network?: OwnNetwork | undefined
}

/** A member of a MySQL Group Replication. */
export class GroupMember implements AsyncDisposable {
  readonly address: string
  readonly daemon: Daemon

  constructor(
    program: string,
    folder: string,
    workplace: Workplace,
    number: number,
    places: readonly Place[],
    mode: Mode,
    settings: readonly string[]
  ) {
    const { host, groupHost, port, groupPort, network } = places[number] as Place
    this.address = `${host}:${port}`
    const name = `mysql ${number + 1}`
    const command = [
      program,
      ...whereItLives(folder, { port, addresses: [...new Set([host, groupHost])] }),
      '--mysqlx=OFF',
      `--server-id=${number + 1}`,
      `--report-host=${groupHost}`,
      `--report-port=${port}`,
      '--log-bin=binlog',
      '--gtid-mode=ON',
      '--enforce-gtid-consistency=ON',
      // With 0 a killed member could come back without rows whose transactions its binary log says it has.
      '--innodb-flush-log-at-trx-commit=2',
      '--sync-binlog=0',
      '--innodb-flush-method=nosync',
      '--innodb-buffer-pool-size=64M',
      '--plugin-load-add=group_replication.so',
      `--loose-group_replication_group_name=${GROUP}`,
      '--loose-group_replication_start_on_boot=OFF',
      '--loose-group_replication_communication_stack=XCOM',
      `--loose-group_replication_ip_allowlist=${LOOPBACK}/8,${OWN_NETWORKS}`,
      `--loose-group_replication_local_address=${groupHost}:${groupPort}`,
      `--loose-group_replication_group_seeds=${places.map((other) => `${other.groupHost}:${other.groupPort}`).join(',')}`,
      `--loose-group_replication_single_primary_mode=${mode === 'single-primary' ? 'ON' : 'OFF'}`,
      // A member that is silent is suspected after five seconds, and then expelled at once.
      '--loose-group_replication_member_expel_timeout=0',
      ...settings
    ]
    this.daemon = network ? network.daemon(name, command) : new Daemon(name, command, workplace)
  }

  get url(): string {
    return `mysql://root@${this.address}/mysql`
  }

  /** Starts it as the first member of a new group, or as one that joins. */
  async start(as: 'first' | 'joining'): Promise<void> {
    await this.daemon.start(() => tryPlainConnection('mysql', this.url))
    await using admin = await connectAdmin('mysql', this.url)
    await admin.query(`CHANGE REPLICATION SOURCE TO SOURCE_USER = 'root', SOURCE_PASSWORD = '' FOR CHANNEL 'group_replication_recovery'`)
    if (as === 'first') await admin.query('SET GLOBAL group_replication_bootstrap_group = ON')
    await admin.query('START GROUP_REPLICATION')
    if (as === 'first') await admin.query('SET GLOBAL group_replication_bootstrap_group = OFF')
    await this.#until(async (ask) => {
      const [row] = await ask(`SELECT member_state AS state ${MEMBER}`)
      if (row?.state !== 'ONLINE') throw new Error(`the member is ${row?.state}`)
    })
  }

  /** Resolves once it knows of so many members of the group that they are there. */
  async knows(members: number): Promise<void> {
    await this.#until(async (ask) => {
      const [row] = await ask(`SELECT COUNT(*) AS there FROM performance_schema.replication_group_members WHERE member_state = 'ONLINE'`)
      if (Number(row?.there) !== members) throw new Error(`the member knows ${row?.there} members to be there`)
    })
  }

  /** Makes it the primary. */
  async promote(): Promise<void> {
    await using admin = await connectAdmin('mysql', this.url)
    await admin.query('SELECT group_replication_set_as_primary(@@server_uuid)')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.daemon[Symbol.asyncDispose]()
  }

  /** Asks until all is as it should be, on a connection that may be a new one each time: a member that has to leave ends connections. */
  async #until(isSo: (ask: (sql: string) => Promise<Record<string, unknown>[]>) => Promise<void>): Promise<void> {
    await this.daemon.until(async () => {
      await using admin = await connectAdmin('mysql', this.url)
      await admin.query(ASKING_A_MEMBER_ALONE)
      await isSo((sql) => admin.query(sql))
    })
  }
}

/** With BEFORE, a member that is cut off or no longer in the group has no result for any SELECT (3797), also for one of its own state. */
export const ASKING_A_MEMBER_ALONE = `SET SESSION group_replication_consistency = 'EVENTUAL'`

/** Three members, the first one started first, and the primary where there is one. The first one may have a network of its own. */
export async function startGroup(
  workplace: Workplace,
  mode: Mode,
  settings: readonly string[],
  owned: <Thing extends AsyncDisposable>(thing: Thing) => Thing,
  network?: OwnNetwork
): Promise<readonly [GroupMember, GroupMember, GroupMember]> {
  const program = await installedMysql()
  const places: Place[] = []
  for (let number = 0; number < 3; number++) {
    const ports = { port: await freePort(), groupPort: await freePort() }
    if (network && number === 0) places.push({ host: network.address, groupHost: network.memberAddress, ...ports, network })
    else places.push({ host: LOOPBACK, groupHost: network?.othersAddress ?? LOOPBACK, ...ports })
  }
  const folders = places.map((_, number) => join(workplace.folder, `m${number + 1}`))
  const [first, ...others] = folders as [string, ...string[]]
  const accounts = join(workplace.folder, 'accounts.sql')
  await writeFile(accounts, ROOT_FROM_ANYWHERE)
  await workplace.run(program, [
    '--no-defaults',
    `--datadir=${first}`,
    '--skip-log-bin',
    '--initialize-insecure',
    `--init-file=${accounts}`
  ])
  // It has the server's own id in it.
  await rm(join(first, 'auto.cnf'), { force: true })
  for (const folder of others) await workplace.run('cp', ['-a', first, folder])
  const members = folders.map((folder, number) => owned(new GroupMember(program, folder, workplace, number, places, mode, settings)))
  for (const [number, member] of members.entries()) await member.start(number === 0 ? 'first' : 'joining')
  return members as unknown as readonly [GroupMember, GroupMember, GroupMember]
}
