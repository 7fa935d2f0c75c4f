import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort } from '../../spec/support/local-server.ts'
import { installedMysql } from '../../spec/support/mysql-server.ts'
import { Daemon, type Workplace } from './daemon.mts'
import { connectAdmin, tryPlainConnection } from './server.mts'

const GROUP = 'c4a05c4a-0c4a-4c4a-8c4a-0c4a05c4a05c'
const MEMBER = 'FROM performance_schema.replication_group_members WHERE member_id = @@server_uuid'

export type Mode = 'single-primary' | 'multi-primary'

interface Ports {
  readonly sql: number
  readonly group: number
}

/** A member of a MySQL Group Replication. */
export class GroupMember implements AsyncDisposable {
  readonly port: number
  readonly daemon: Daemon

  constructor(
    program: string,
    folder: string,
    workplace: Workplace,
    number: number,
    ports: readonly Ports[],
    mode: Mode,
    settings: readonly string[]
  ) {
    const { sql, group } = ports[number] as Ports
    this.port = sql
    this.daemon = new Daemon(
      `mysql ${number + 1}`,
      [
        program,
        '--no-defaults',
        `--datadir=${folder}`,
        `--socket=${folder}/socket`,
        `--pid-file=${folder}/pid`,
        `--log-error=${folder}.log`,
        '--bind-address=127.0.0.1',
        `--port=${sql}`,
        '--mysqlx=OFF',
        `--server-id=${number + 1}`,
        '--report-host=127.0.0.1',
        `--report-port=${sql}`,
        '--log-bin=binlog',
        '--gtid-mode=ON',
        '--enforce-gtid-consistency=ON',
        // With 0 a killed member could come back without rows whose transactions its binary log says it has.
        '--innodb-flush-log-at-trx-commit=2',
        '--sync-binlog=0',
        '--innodb-flush-method=nosync',
        '--innodb-buffer-pool-size=64M',
        '--max-connections=200',
        '--plugin-load-add=group_replication.so',
        `--loose-group_replication_group_name=${GROUP}`,
        '--loose-group_replication_start_on_boot=OFF',
        '--loose-group_replication_communication_stack=XCOM',
        `--loose-group_replication_local_address=127.0.0.1:${group}`,
        `--loose-group_replication_group_seeds=${ports.map((other) => `127.0.0.1:${other.group}`).join(',')}`,
        `--loose-group_replication_single_primary_mode=${mode === 'single-primary' ? 'ON' : 'OFF'}`,
        // A member that is silent is suspected after five seconds, and then expelled at once.
        '--loose-group_replication_member_expel_timeout=0',
        ...settings
      ],
      workplace
    )
  }

  get url(): string {
    return `mysql://root@127.0.0.1:${this.port}/mysql`
  }

  /** Starts it as the first member of a new group, or as one that joins. */
  async start(as: 'first' | 'joining'): Promise<void> {
    await this.daemon.start(() => tryPlainConnection('mysql', this.url))
    await using admin = await connectAdmin('mysql', this.url)
    await admin.query(`CHANGE REPLICATION SOURCE TO SOURCE_USER = 'root', SOURCE_PASSWORD = '' FOR CHANNEL 'group_replication_recovery'`)
    if (as === 'first') await admin.query('SET GLOBAL group_replication_bootstrap_group = ON')
    await admin.query('START GROUP_REPLICATION')
    if (as === 'first') await admin.query('SET GLOBAL group_replication_bootstrap_group = OFF')
    await this.daemon.until(async () => {
      const [row] = await admin.query(`SELECT member_state AS state ${MEMBER}`)
      if (row?.state !== 'ONLINE') throw new Error(`the member is ${row?.state}`)
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
}

/** Three members, the first one started first, and the primary where there is one. */
export async function startGroup(
  workplace: Workplace,
  mode: Mode,
  settings: readonly string[],
  owned: <Thing extends AsyncDisposable>(thing: Thing) => Thing
): Promise<readonly [GroupMember, GroupMember, GroupMember]> {
  const program = await installedMysql()
  const ports: Ports[] = []
  for (let number = 0; number < 3; number++) ports.push({ sql: await freePort(), group: await freePort() })
  const folders = ports.map((_, number) => join(workplace.folder, `m${number + 1}`))
  const [first, ...others] = folders as [string, ...string[]]
  await workplace.run(program, ['--no-defaults', `--datadir=${first}`, '--skip-log-bin', '--initialize-insecure'])
  // It has the server's own id in it.
  await rm(join(first, 'auto.cnf'), { force: true })
  for (const folder of others) await workplace.run('cp', ['-a', first, folder])
  const members = folders.map((folder, number) => owned(new GroupMember(program, folder, workplace, number, ports, mode, settings)))
  for (const [number, member] of members.entries()) await member.start(number === 0 ? 'first' : 'joining')
  return members as unknown as readonly [GroupMember, GroupMember, GroupMember]
}
