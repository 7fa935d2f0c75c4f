import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import type { Listener } from './statements.mjs'

interface Pair {
  client: Socket
  server: Socket
}

/**
 * A line to a database server that can be interrupted as lines and servers are: frozen (nothing comes back, nothing is refused, as with a stopped
 * server process), cut, or refusing. The server itself and everyone else's connections to it stay as they are.
 */
export class Line implements AsyncDisposable {
  readonly #target: { host: string; port: number }
  readonly #listen: (() => Listener) | undefined
  readonly #pairs = new Set<Pair>()
  readonly #server: Server
  #frozen = false
  #port = 0

  constructor(target: { host: string; port: number }, listen?: () => Listener) {
    this.#target = target
    this.#listen = listen
    this.#server = createServer((client) => this.#accept(client))
  }

  get port(): number {
    return this.#port
  }

  async open(): Promise<this> {
    this.#server.listen(this.#port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.#port = (this.#server.address() as AddressInfo).port
    return this
  }

  freeze(): void {
    this.#frozen = true
    for (const { client, server } of this.#pairs) {
      client.unpipe(server).pause()
      server.unpipe(client).pause()
    }
  }

  thaw(): void {
    this.#frozen = false
    for (const pair of this.#pairs) join(pair)
  }

  /** Ends every connection at once, as a restarted server does. */
  cut(): void {
    for (const { client, server } of this.#pairs) {
      client.destroy()
      server.destroy()
    }
  }

  /** Takes no new connections, as a server that is down, until `open` is called again. */
  async refuse(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.cut()
    await closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#server.listening) await this.refuse()
    else this.cut()
  }

  #accept(client: Socket): void {
    const server = connect(this.#target)
    const pair = { client, server }
    this.#pairs.add(pair)
    for (const [socket, other] of [
      [client, server],
      [server, client]
    ] as const) {
      socket.setNoDelay(true)
      // An end of either side ends both: the other side's error is this one's.
      socket.on('error', () => other.destroy())
      socket.on('close', () => {
        this.#pairs.delete(pair)
        other.destroy()
      })
    }
    const listener = this.#listen?.()
    if (listener) client.on('data', listener)
    if (this.#frozen) client.pause()
    else join(pair)
  }
}

function join({ client, server }: Pair): void {
  client.pipe(server)
  server.pipe(client)
}
