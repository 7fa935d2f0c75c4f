import { join } from 'node:path'
import { freePort } from '../../spec/support/local-server.ts'
import { findPostgresBinaries } from '../../spec/support/postgres-standby.ts'
import { Daemon, type Workplace } from './daemon.mts'
import { tryPlainConnection } from './server.mts'

export const POSTGRES_ACCOUNTS = ['postgres', 'node', 'nobody']

/** The disk is used as in production, but for the flush of the drive's own cache: what kills a server here does not take the power away. */
const SETTINGS = ['max_connections=200', 'wal_level=replica', 'hot_standby=on', 'wal_keep_size=64MB', 'fsync=off', 'log_min_messages=fatal']

/** What a server has besides. */
interface More {
  readonly settings?: readonly string[]
  readonly initdb?: readonly string[]
}

/** A PostgreSQL that can be killed, frozen and restarted. */
export class PostgresServer implements AsyncDisposable {
  readonly port: number
  readonly folder: string
  readonly bin: string
  readonly daemon: Daemon

  private constructor(bin: string, folder: string, port: number, workplace: Workplace, more: readonly string[]) {
    this.bin = bin
    this.folder = folder
    this.port = port
    const settings = ['listen_addresses=127.0.0.1', `port=${port}`, `unix_socket_directories=${workplace.folder}`, ...SETTINGS, ...more]
    const flags = settings.flatMap((setting) => ['-c', setting])
    this.daemon = new Daemon('postgres', [join(bin, 'postgres'), '-D', folder, ...flags], workplace)
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

  /** Starts it, and waits until it takes connections. */
  async start(): Promise<void> {
    await this.daemon.start(() => tryPlainConnection('postgres', this.url))
  }

  async copyTo(workplace: Workplace, folder: string, name: string): Promise<void> {
    const target = `host=127.0.0.1 port=${this.port} user=postgres application_name=${name}`
    await workplace.run(join(this.bin, 'pg_basebackup'), ['-d', target, '-D', folder, '-R', '-X', 'stream', '-c', 'fast', '--no-sync'])
  }

  async promote(workplace: Workplace): Promise<void> {
    await workplace.run(join(this.bin, 'pg_ctl'), ['-D', this.folder, '-w', 'promote'])
  }

  /** As `systemctl restart` does: sessions are ended, and what was committed is written. */
  async restart(): Promise<void> {
    await this.daemon.stop('SIGINT')
    await this.start()
  }

  async crash(): Promise<void> {
    await this.daemon.kill()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.daemon[Symbol.asyncDispose]()
  }
}
