import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

const SYNC = 0x53
const QUERY = 0x51
const READY = 0x5a

/**
 * A pooler of PostgreSQL in transaction mode that knows nothing of prepared statements, at its worst: each of a client's connections leads
 * by turns to one of two connections of the server. For servers that ask for no password.
 */
export class SwappingPooler implements AsyncDisposable {
  private readonly sockets = new Set<Socket>()

  private constructor(
    private readonly server: Server,
    private readonly target: { host: string; port: number }
  ) {}

  static async to(url: string): Promise<SwappingPooler> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { hostname, port } = new URL(url)
    const pooler = new SwappingPooler(server, { host: hostname, port: Number(port) || 5432 })
    server.on('connection', (client: Socket) => pooler.serve(client))
    return pooler
  }

  url(url: string): string {
    const pooled = new URL(url)
    pooled.hostname = '127.0.0.1'
    pooled.port = String((this.server.address() as AddressInfo).port)
    return pooled.href
  }

  private serve(client: Socket): void {
    const upstreams = [connect(this.target), connect(this.target)]
    let turn = 0
    let isStarted = false
    for (const socket of [client, ...upstreams]) {
      this.sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        this.sockets.delete(socket)
        for (const other of [client, ...upstreams]) other.destroy()
      })
    }
    const greetings = upstreams.map(
      (upstream) =>
        new Promise<Buffer>((resolve) => {
          let greeting = Buffer.alloc(0)
          upstream.on('data', (bytes) => {
            if (isStarted) client.write(bytes)
            else greeting = Buffer.concat([greeting, bytes])
            if (!isStarted && lastMessage(greeting) === READY) resolve(greeting)
          })
        })
    )
    client.once('data', async (startup) => {
      for (const upstream of upstreams) upstream.write(startup)
      const [greeting] = await Promise.all(greetings)
      isStarted = true
      let waiting = Buffer.alloc(0)
      client.on('data', (bytes) => {
        waiting = Buffer.concat([waiting, bytes])
        for (let end = endOfTransaction(waiting); end > 0; end = endOfTransaction(waiting)) {
          upstreams[turn++ % 2]?.write(waiting.subarray(0, end))
          waiting = waiting.subarray(end)
        }
      })
      client.write(withOtherKey(greeting as Buffer))
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.server, 'close')
    this.server.close()
    for (const socket of this.sockets) socket.destroy()
    await closed
  }
}

/** Where the first message ends after which the server answers and is ready again, or 0. */
function endOfTransaction(bytes: Buffer): number {
  for (let at = 0; at + 5 <= bytes.length; ) {
    const end = at + 1 + bytes.readUInt32BE(at + 1)
    if (end > bytes.length) return 0
    if (bytes[at] === SYNC || bytes[at] === QUERY) return end
    at = end
  }
  return 0
}

function lastMessage(bytes: Buffer): number | undefined {
  let type: number | undefined
  for (let at = 0; at + 5 <= bytes.length; at += 1 + bytes.readUInt32BE(at + 1)) type = bytes[at]
  return type
}

/** BackendKeyData with a number of the pooler's own. */
function withOtherKey(bytes: Buffer): Buffer {
  const changed = Buffer.from(bytes)
  for (let at = 0; at + 5 <= changed.length; at += 1 + changed.readUInt32BE(at + 1)) {
    if (changed[at] === 0x4b) changed.writeInt32BE(-1, at + 5)
  }
  return changed
}
