import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { find } from '../../spec/support/find-program.ts'
import { freePort } from '../../spec/support/local-server.ts'
import { findPostgresBinaries } from '../../spec/support/postgres-standby.ts'
import { Daemon, type Workplace } from './daemon.mts'
import { tryPlainConnection } from './server.mts'

/** A PostgreSQL that Patroni keeps. */
export interface Member {
  readonly name: string
  readonly port: number
  /** Where Patroni says whether it is the primary. */
  readonly checkPort: number
  readonly daemon: Daemon
}

/** Two members and an etcd. */
export class PatroniCluster implements AsyncDisposable {
  readonly members: readonly Member[]
  readonly #etcd: Daemon

  private constructor(members: readonly Member[], etcd: Daemon) {
    this.members = members
    this.#etcd = etcd
  }

  static async start(workplace: Workplace, isSynchronous: boolean): Promise<PatroniCluster> {
    const [patroni, etcdProgram, bin] = await Promise.all([find('patroni'), find('etcd'), findPostgresBinaries()])
    if (!patroni || !etcdProgram || !bin) throw new Error('no Patroni: apt-get install postgresql patroni etcd-server')
    const [clientPort, peerPort] = [await freePort(), await freePort()]
    const client = `http://127.0.0.1:${clientPort}`
    const peer = `http://127.0.0.1:${peerPort}`
    const etcdFolder = await workplace.makeFolder('etcd')
    const etcdFlags = [
      ...['--name=e', `--data-dir=${etcdFolder}`, `--listen-client-urls=${client}`, `--advertise-client-urls=${client}`],
      ...[`--listen-peer-urls=${peer}`, `--initial-advertise-peer-urls=${peer}`, `--initial-cluster=e=${peer}`]
    ]
    const etcd = new Daemon('etcd', [etcdProgram, ...etcdFlags], workplace)
    await etcd.start(async () => {
      if (!(await fetch(`${client}/health`)).ok) throw new Error('etcd is not ready')
    })
    const members: Member[] = []
    const cluster = new PatroniCluster(members, etcd)
    try {
      for (const name of ['a', 'b']) {
        const [port, checkPort] = [await freePort(), await freePort()]
        const file = join(workplace.folder, `${name}.yml`)
        await writeFile(file, configuration({ name, port, checkPort, etcdPort: clientPort, bin, folder: workplace.folder, isSynchronous }))
        // The system's interpreter: Debian's Patroni has its modules there, whatever python3 comes first in PATH.
        const daemon = new Daemon(`patroni ${name}`, ['/usr/bin/python3', patroni, file], workplace)
        members.push({ name, port, checkPort, daemon })
        await daemon.start(() => cluster.#isIn(checkPort, name === 'a' ? 'primary' : isSynchronous ? 'sync' : 'replica'))
      }
    } catch (error) {
      await cluster[Symbol.asyncDispose]()
      throw error
    }
    return cluster
  }

  async leader(): Promise<Member> {
    for (const member of this.members) {
      if (
        await this.#isIn(member.checkPort, 'primary').then(
          () => true,
          () => false
        )
      )
        return member
    }
    throw new Error('no member is the primary')
  }

  /** As a machine that loses its power: Patroni and its PostgreSQL. */
  async kill(member: Member): Promise<void> {
    await member.daemon.kill()
  }

  async switchover(from: Member): Promise<void> {
    const answer = await fetch(`http://127.0.0.1:${from.checkPort}/switchover`, {
      method: 'POST',
      body: JSON.stringify({ leader: from.name })
    })
    if (!answer.ok) throw new Error(`no switchover: ${await answer.text()}`)
  }

  async #isIn(checkPort: number, role: string): Promise<void> {
    const { ok } = await fetch(`http://127.0.0.1:${checkPort}/${role}`, { signal: AbortSignal.timeout(1_000) })
    if (!ok) throw new Error(`not in the role ${role}`)
    const member = this.members.find((one) => one.checkPort === checkPort)
    if (member) await tryPlainConnection('postgres', `postgres://postgres@127.0.0.1:${member.port}/postgres`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { daemon } of this.members) await daemon.kill()
    await this.#etcd.kill()
  }
}

interface Settings {
  readonly name: string
  readonly port: number
  readonly checkPort: number
  readonly etcdPort: number
  readonly bin: string
  readonly folder: string
  readonly isSynchronous: boolean
}

function configuration({ name, port, checkPort, etcdPort, bin, folder, isSynchronous }: Settings): string {
  return `scope: chaos
name: ${name}
restapi: {listen: 127.0.0.1:${checkPort}, connect_address: 127.0.0.1:${checkPort}}
etcd3: {hosts: ["127.0.0.1:${etcdPort}"]}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 1
    retry_timeout: 3
    synchronous_mode: ${isSynchronous}
    postgresql: {use_pg_rewind: true, parameters: {wal_log_hints: 'on', hot_standby: 'on', max_connections: 200}}
  initdb: [{encoding: UTF8}, {locale: C}, {auth: trust}]
  pg_hba: [host all all 127.0.0.1/32 trust, host replication all 127.0.0.1/32 trust]
postgresql:
  listen: 127.0.0.1:${port}
  connect_address: 127.0.0.1:${port}
  data_dir: ${join(folder, `pg-${name}`)}
  pgpass: ${join(folder, `pgpass-${name}`)}
  bin_dir: ${bin}
  authentication: {superuser: {username: postgres}, replication: {username: postgres}, rewind: {username: postgres}}
  parameters: {unix_socket_directories: ${folder}}
`
}
