import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'

/** A port of 127.0.0.1 that leads to a server, or refuses, as one does whose server is down. */
export class ForwardedPort implements AsyncDisposable {
  private readonly sockets = new Set<Socket>()
  private server: Server | undefined
  private cut: { pattern: RegExp; times: number } | undefined

  private constructor(
    private readonly target: { host: string; port: number },
    readonly port: number
  ) {}

  /** Refuses until `up()` is called. */
  static async to(url: string): Promise<ForwardedPort> {
    const { hostname, port } = new URL(url)
    const probe = createServer().listen(0, '127.0.0.1')
    await once(probe, 'listening')
    const address = probe.address() as { port: number }
    probe.close()
    await once(probe, 'close')
    return new ForwardedPort({ host: hostname, port: Number(port) }, address.port)
  }

  /** The url with this port in place of the server's. */
  url(url: string): string {
    const forwarded = new URL(url)
    forwarded.hostname = '127.0.0.1'
    forwarded.port = String(this.port)
    return forwarded.href
  }

  /** Cuts the connection of a statement that matches, so many times: the server does not get it. */
  cutAt(pattern: RegExp, times: number): void {
    this.cut = { pattern, times }
  }

  /** How often a connection is still to be cut. */
  get cutsLeft(): number {
    return this.cut?.times ?? 0
  }

  async up(): Promise<void> {
    this.server = createServer((socket) => {
      const upstream = connect(this.target)
      // Before the pipe, so that nothing of the statement goes on.
      socket.on('data', (chunk: Buffer) => {
        if (this.cut === undefined || this.cut.times === 0 || !this.cut.pattern.test(chunk.toString('latin1'))) return
        this.cut.times--
        upstream.destroy()
        socket.destroy()
      })
      for (const [from, to] of [
        [socket, upstream],
        [upstream, socket]
      ] as const) {
        this.sockets.add(from)
        from.on('error', () => to.destroy())
        from.on('close', () => {
          this.sockets.delete(from)
          to.destroy()
        })
        from.pipe(to)
      }
    }).listen(this.port, '127.0.0.1')
    await once(this.server, 'listening')
  }

  /** Refuses new connections; those that there are stay. */
  refuseMore(): void {
    this.server?.close()
  }

  /** Cuts all connections and refuses new ones. */
  async down(): Promise<void> {
    if (this.server === undefined) return
    const closed = this.server.listening || this.sockets.size > 0 ? once(this.server, 'close') : undefined
    this.server.close()
    for (const socket of this.sockets) socket.destroy()
    await closed
    this.server = undefined
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.down()
  }
}
