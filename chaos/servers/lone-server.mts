import type { DatabaseName } from '../stores.mts'
import type { Daemon } from './daemon.mts'
import { tryPlainConnection } from './server.mts'

/** A server of one program that can be killed, frozen and restarted. */
export abstract class LoneServer implements AsyncDisposable {
  abstract readonly url: string
  readonly port: number
  readonly daemon: Daemon
  readonly #database: DatabaseName
  readonly #stopSignal: NodeJS.Signals

  /** @param stopSignal what `systemctl stop` sends: sessions are ended, and what was committed is written */
  protected constructor(database: DatabaseName, port: number, daemon: Daemon, stopSignal: NodeJS.Signals = 'SIGTERM') {
    this.port = port
    this.daemon = daemon
    this.#database = database
    this.#stopSignal = stopSignal
  }

  /** Starts it, and waits until it takes connections. */
  async start(): Promise<void> {
    await this.daemon.start(() => tryPlainConnection(this.#database, this.url))
  }

  async restart(): Promise<void> {
    await this.daemon.stop(this.#stopSignal)
    await this.start()
  }

  async crash(): Promise<void> {
    await this.daemon.kill()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.daemon[Symbol.asyncDispose]()
  }
}
