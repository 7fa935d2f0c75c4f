import { isIP, connect as openSocket, type Socket } from 'node:net'
import { type ConnectionOptions, connect as openTls } from 'node:tls'
import type { Connection, KnexClient } from '../../knex/knex-client'
import type { EndRequest, StatementEnding } from '../../knex/statement-ending'

/** The driver's client, as far as it is needed to end a statement on its server. The driver's own `cancel` uses the same members. */
interface CancellableConnection extends Connection {
  readonly processID?: number | null
  readonly secretKey?: number | null
  readonly host?: string
  readonly port?: number
  readonly pipeline?: boolean
  readonly connection?: {
    readonly stream?: Socket & { readonly encrypted?: boolean }
    readonly ssl?: boolean | ConnectionOptions
    readonly sslNegotiation?: string
  }
}

/** Codes of the protocol. Some messages have no type, and their second word says what they are. */
const CANCEL = 80_877_102
const ASK_FOR_TLS = 80_877_103
const TLS_ACCEPTED = 'S'.charCodeAt(0)

/** Ends statements by a CancelRequest. The server takes it on a connection of its own, and closes that connection at the end. */
export const cancelRequests: Omit<StatementEnding, 'isLost'> = {
  hasServer: (connection) => (connection as CancellableConnection).connection?.stream !== undefined,
  request: (_client: KnexClient, connection: Connection) => cancel(connection),
  cut: (connection) => void (connection as CancellableConnection).connection?.stream?.destroy?.()
}

/** Returns undefined if the connection has more than one statement in flight, or if its server cannot be told. */
function cancel(given: Connection): EndRequest | undefined {
  const connection = given as CancellableConnection
  const { processID, secretKey, pipeline } = connection
  const address = addressOf(connection)
  if (pipeline === true || typeof processID !== 'number' || typeof secretKey !== 'number' || address === undefined) return undefined
  const sockets: Socket[] = [openSocket(address)]
  const done = new Promise<void>((resolve, reject) => {
    const [plain] = sockets as [Socket]
    let isSent = false
    const send = (socket: Socket) => {
      isSent = true
      // The server sends nothing here. But data that nothing reads would hold back the event of the end.
      socket.resume()
      socket.write(message(CANCEL, processID, secretKey))
    }
    plain.once('error', reject)
    // The server closes this connection when it has passed the request on.
    plain.once('close', () => (isSent ? resolve() : reject(new CancelRefusedError())))
    plain.once('connect', () => {
      if (connection.connection?.stream?.encrypted !== true) send(plain)
      else askForTls(connection, plain, sockets, send, reject)
    })
  })
  return {
    done,
    stop() {
      for (const socket of sockets) socket.destroy(new CancelRefusedError())
    }
  }
}

/**
 * Encrypts the request, as the connection is encrypted. Anyone who reads the key in the request could end any statement of that connection.
 */
function askForTls(
  connection: CancellableConnection,
  plain: Socket,
  sockets: Socket[],
  send: (socket: Socket) => void,
  reject: (error: unknown) => void
): void {
  const { ssl, sslNegotiation } = connection.connection ?? {}
  const host = connection.host ?? ''
  const begin = () => {
    const tls = openTls({
      host,
      ...(typeof ssl === 'object' ? { ...ssl, ...('key' in ssl ? { key: ssl.key } : {}) } : {}),
      ...(sslNegotiation === 'direct' ? { ALPNProtocols: ['postgresql'] } : {}),
      ...(isIP(host) === 0 ? { servername: host } : {}),
      socket: plain
    })
    sockets.push(tls)
    tls.once('error', reject)
    tls.once('secureConnect', () => send(tls))
  }
  if (sslNegotiation === 'direct') {
    begin()
    return
  }
  plain.once('data', (answer) => (answer[0] === TLS_ACCEPTED ? begin() : reject(new CancelRefusedError())))
  plain.write(message(ASK_FOR_TLS))
}

/** The address of this very connection, because its host name may mean another server by now. */
function addressOf({ connection, host, port }: CancellableConnection): { host: string; port: number } | { path: string } | undefined {
  const { remoteAddress, remotePort } = connection?.stream ?? {}
  if (remoteAddress !== undefined && remotePort !== undefined) return { host: remoteAddress, port: remotePort }
  return host?.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : undefined
}

function message(...words: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 + 4 * words.length)
  bytes.writeInt32BE(bytes.length, 0)
  for (const [index, word] of words.entries()) bytes.writeInt32BE(word, 4 + 4 * index)
  return bytes
}

/** The server closed the connection before the request was sent, or it did not take TLS. This error is handled in this file. */
class CancelRefusedError extends Error {}
