import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** A way to a server, like a NAT's: it can forget the connections it has, which then lead nowhere without being closed, and lets new ones pass. */
export class ForgetfulProxy implements AsyncDisposable {
  private readonly sockets = new Set<Socket>()
  private remembered = new Set<Socket>()
  /** How many connections there ever were. */
  connections = 0

  private constructor(
    private readonly server: Server,
    private target: { host: string; port: number }
  ) {}

  static async to(url: string, defaultPort: number): Promise<ForgetfulProxy> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const proxy = new ForgetfulProxy(server, targetOf(url, defaultPort))
    server.on('connection', (socket: Socket) => proxy.pass(socket))
    return proxy
  }

  /** The url with this port in place of the server's. */
  url(url: string): string {
    const proxied = new URL(url)
    proxied.hostname = '127.0.0.1'
    proxied.port = String((this.server.address() as AddressInfo).port)
    return proxied.href
  }

  /** Lets nothing more pass on the connections that there are. Nobody is told. */
  forget(): void {
    this.remembered = new Set()
  }

  private pass(socket: Socket): void {
    this.connections++
    const upstream = connect(this.target)
    this.remembered.add(socket)
    for (const [from, to] of [
      [socket, upstream],
      [upstream, socket]
    ] as const) {
      this.sockets.add(from)
      from.setNoDelay(true)
      from.on('data', (bytes) => this.remembered.has(socket) && to.write(bytes))
      from.on('error', () => to.destroy())
      from.on('close', () => {
        this.sockets.delete(from)
        if (this.remembered.has(socket)) to.destroy()
      })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.server, 'close')
    this.server.close()
    for (const socket of this.sockets) socket.destroy()
    await closed
  }
}

function targetOf(url: string, defaultPort: number): { host: string; port: number } {
  const { hostname, port } = new URL(url)
  return { host: hostname, port: Number(port) || defaultPort }
}
