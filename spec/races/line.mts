import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { Transform } from 'node:stream'
import type { Listener } from './statements.mjs'

interface Pair {
  client: Socket
  server: Socket
  /** Whether the weather has swallowed something of it. */
  isLost: boolean
}

/** What a bad network does to what is sent. */
export interface Weather {
  /** The longest that a piece is under way. */
  readonly delayMs: number
  /** How likely a piece comes in two, the second one later. */
  readonly halved: number
  /** How likely a piece is the last of its connection: nothing more comes on it, and nobody says that it has ended. */
  readonly lost: number
}

/**
 * A line to a database server that can be interrupted as lines and servers are: frozen (nothing comes back, nothing is refused, as with a stopped
 * server process), cut, refusing, or in bad weather. The server itself and everyone else's connections to it stay as they are.
 */
export class Line implements AsyncDisposable {
  readonly #target: { host: string; port: number }
  readonly #listen: (() => Listener) | undefined
  readonly #pairs = new Set<Pair>()
  readonly #server: Server
  #frozen = false
  #port = 0
  #weather: Weather | undefined

  constructor(target: { host: string; port: number }, listen?: () => Listener) {
    this.#target = target
    this.#listen = listen
    this.#server = createServer((client) => this.#accept(client))
  }

  get port(): number {
    return this.#port
  }

  /** Connections that the client's side has not ended, also those on which nothing comes any more. */
  get connections(): number {
    return this.#pairs.size
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

  /** As `cut`, but with a reset in place of an end, as when the server's machine is gone and another has its address. */
  reset(): void {
    for (const { client, server } of this.#pairs) {
      client.resetAndDestroy()
      server.destroy()
    }
  }

  /** From now on, connections go through this weather; without one it is calm. What was lost stays lost. */
  disturb(weather: Weather | undefined): void {
    if (weather && !this.#weather) {
      for (const pair of this.#pairs) {
        pair.client.unpipe(pair.server)
        pair.server.unpipe(pair.client)
        this.#joinThroughWeather(pair)
      }
    }
    this.#weather = weather
  }

  /** Ends both sides of what was lost, as their keep-alive does in the end. */
  sweep(): void {
    for (const { client, server, isLost } of this.#pairs) {
      if (!isLost) continue
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
    const pair = { client, server, isLost: false }
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
    else if (this.#weather) this.#joinThroughWeather(pair)
    else join(pair)
  }

  #joinThroughWeather(pair: Pair): void {
    pair.client.pipe(through(() => this.#weather, pair)).pipe(pair.server)
    pair.server.pipe(through(() => this.#weather, pair)).pipe(pair.client)
  }
}

/** Passes on what comes in the order in which it came, as the weather of the moment has it. */
function through(weather: () => Weather | undefined, pair: Pair): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const { delayMs = 0, halved = 0, lost = 0 } = weather() ?? {}
      pair.isLost ||= Math.random() < lost
      if (pair.isLost) return done()
      if (delayMs === 0) return done(null, chunk)
      const half = Math.random() < halved ? Math.floor(Math.random() * chunk.length) : chunk.length
      setTimeout(() => {
        this.push(chunk.subarray(0, half))
        if (half === chunk.length) done()
        else setTimeout(() => done(null, chunk.subarray(half)), Math.random() * delayMs)
      }, Math.random() * delayMs)
    }
  })
}

function join({ client, server }: Pair): void {
  client.pipe(server)
  server.pipe(client)
}
