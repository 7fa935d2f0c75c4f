import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { find } from '../../spec/support/find-program.ts'
import { freePort } from '../../spec/support/local-server.ts'
import { Daemon, type Workplace } from './daemon.mts'
import { whereItLives } from './mysql-flags.mts'
import { connectAdmin } from './server.mts'

const PROVIDER = '/usr/lib/galera/libgalera_smm.so'

interface Ports {
  readonly sql: number
  readonly group: number
  readonly incremental: number
  readonly snapshot: number
}

/** A node of a Galera cluster. */
export class GaleraNode implements AsyncDisposable {
  readonly address: string
  readonly daemon: Daemon
  readonly #cluster: string

  constructor(program: string, folder: string, workplace: Workplace, number: number, ports: readonly Ports[], settings: readonly string[]) {
    const { sql, group, incremental, snapshot } = ports[number] as Ports
    this.address = `127.0.0.1:${sql}`
    this.#cluster = ports.map((other) => `127.0.0.1:${other.group}`).join(',')
    const timing = 'evs.keepalive_period=PT0.5S;evs.suspect_timeout=PT2S;evs.inactive_timeout=PT4S;evs.install_timeout=PT4S'
    this.daemon = new Daemon(
      `galera ${number + 1}`,
      [
        program,
        ...whereItLives(folder, { port: sql }),
        `--server-id=${number + 1}`,
        '--binlog-format=ROW',
        '--default-storage-engine=InnoDB',
        '--innodb-autoinc-lock-mode=2',
        '--innodb-flush-log-at-trx-commit=0',
        '--innodb-buffer-pool-size=64M',
        '--innodb-log-file-size=16M',
        '--skip-name-resolve',
        '--wsrep-on=ON',
        `--wsrep-provider=${PROVIDER}`,
        '--wsrep-cluster-name=chaos',
        `--wsrep-node-name=n${number + 1}`,
        `--wsrep-node-address=127.0.0.1:${group}`,
        '--wsrep-sst-method=rsync',
        `--wsrep-sst-receive-address=127.0.0.1:${snapshot}`,
        `--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:${group};ist.recv_addr=127.0.0.1:${incremental};gcache.size=32M;${timing}`,
        ...settings
      ],
      workplace
    )
  }

  get url(): string {
    return `mysql://root@${this.address}/mysql`
  }

  /** Starts it as the first node of a new cluster, or as one that joins. */
  async start(as: 'first' | 'joining'): Promise<void> {
    const more = [`--wsrep-cluster-address=gcomm://${this.#cluster}`]
    await this.daemon.start(() => this.#isSynced(), as === 'first' ? [...more, '--wsrep-new-cluster'] : more)
  }

  async #isSynced(): Promise<void> {
    await using admin = await connectAdmin('mysql', this.url)
    const [row] = await admin.query(`SHOW GLOBAL STATUS LIKE 'wsrep_ready'`)
    if (row?.Value !== 'ON') throw new Error('not ready')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.daemon[Symbol.asyncDispose]()
  }
}

/** Three nodes, the first one started first. */
export async function startGalera(
  workplace: Workplace,
  settings: readonly string[],
  owned: <Thing extends AsyncDisposable>(thing: Thing) => Thing
): Promise<readonly [GaleraNode, GaleraNode, GaleraNode]> {
  const [program, install] = await Promise.all([find('mariadbd'), find('mariadb-install-db')])
  if (program === undefined || install === undefined) throw new Error('no MariaDB binaries: apt-get install mariadb-server galera-4 rsync')
  if (!existsSync(PROVIDER)) {
    throw new Error('no Galera: apt-get install galera-4 rsync')
  }
  const ports: Ports[] = []
  for (let number = 0; number < 3; number++) {
    ports.push({ sql: await freePort(), group: await freePort(), incremental: await freePort(), snapshot: await freePort() })
  }
  const folders = ports.map((_, number) => join(workplace.folder, `n${number + 1}`))
  const flags = ['--no-defaults', '--auth-root-authentication-method=normal', '--skip-test-db', '--skip-name-resolve']
  await workplace.run(install, [...flags, `--datadir=${folders[0]}`])
  for (const folder of folders.slice(1)) await workplace.run('cp', ['-a', folders[0] as string, folder])
  const nodes = folders.map((folder, number) => owned(new GaleraNode(program, folder, workplace, number, ports, settings)))
  for (const [number, node] of nodes.entries()) await node.start(number === 0 ? 'first' : 'joining')
  return nodes as unknown as readonly [GaleraNode, GaleraNode, GaleraNode]
}
