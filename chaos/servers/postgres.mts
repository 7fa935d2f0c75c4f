import { join } from 'node:path'
import { freePort } from '../../spec/support/local-server.ts'
import { findPostgresBinaries } from '../../spec/support/postgres-standby.ts'
import { Daemon, type Workplace } from './daemon.mts'
import { LoneServer } from './lone-server.mts'

export const POSTGRES_ACCOUNTS = ['postgres', 'node', 'nobody']

/** The disk is used as in production, but for the flush of the drive's own cache: what kills a server here does not take the power away. */
const SETTINGS = ['max_connections=200', 'wal_level=replica', 'hot_standby=on', 'wal_keep_size=64MB', 'fsync=off', 'log_min_messages=fatal']

/** What a server has besides. */
interface More {
  readonly settings?: readonly string[]
  readonly initdb?: readonly string[]
}

export class PostgresServer extends LoneServer {
  readonly folder: string
  readonly bin: string

  private constructor(bin: string, folder: string, port: number, workplace: Workplace, more: readonly string[]) {
    const settings = ['listen_addresses=127.0.0.1', `port=${port}`, `unix_socket_directories=${workplace.folder}`, ...SETTINGS, ...more]
    const flags = settings.flatMap((setting) => ['-c', setting])
    super('postgres', port, new Daemon('postgres', [join(bin, 'postgres'), '-D', folder, ...flags], workplace), 'SIGINT')
    this.bin = bin
    this.folder = folder
  }

  /** A new server, or with `from` a standby of that one called `standby`. */
  static async start(workplace: Workplace, name: string, from?: PostgresServer, more: More = {}): Promise<PostgresServer> {
    const bin = await findPostgresBinaries()
    if (bin === undefined) throw new Error('no PostgreSQL binaries: apt-get install postgresql')
    const folder = join(workplace.folder, name)
    if (from === undefined) {
      const flags = ['-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync', ...(more.initdb ?? [])]
      await workplace.run(join(bin, 'initdb'), ['-D', folder, ...flags])
    } else await from.copyTo(workplace, folder, name)
    const server = new PostgresServer(bin, folder, await freePort(), workplace, more.settings ?? [])
    await server.start()
    return server
  }

  get url(): string {
    return `postgres://postgres@127.0.0.1:${this.port}/postgres`
  }

  async copyTo(workplace: Workplace, folder: string, name: string): Promise<void> {
    const target = `host=127.0.0.1 port=${this.port} user=postgres application_name=${name}`
    await workplace.run(join(this.bin, 'pg_basebackup'), ['-d', target, '-D', folder, '-R', '-X', 'stream', '-c', 'fast', '--no-sync'])
  }

  async promote(workplace: Workplace): Promise<void> {
    await workplace.run(join(this.bin, 'pg_ctl'), ['-D', this.folder, '-w', 'promote'])
  }
}
