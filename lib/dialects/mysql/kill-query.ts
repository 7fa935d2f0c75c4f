import type { Socket } from 'node:net'
import type { Connection, KnexClient } from '../../knex/knex-client'
import type { EndRequest, StatementEnding } from '../../knex/statement-ending'

/** What both drivers offer of a connection, as far as it is used here. The older driver has another name for the socket. */
interface KillableConnection extends Connection {
  readonly threadId?: number | null
  readonly stream?: Socket
  readonly _socket?: Socket
  query(statement: object, answered: (error: unknown, rows: unknown) => void): void
}

/** A row of SHOW PROCESSLIST. */
interface Process {
  readonly Id: unknown
  readonly Host: unknown
  readonly Command: unknown
}

/** Ends statements by KILL QUERY on a short-lived connection, if this connection reaches the same server. */
export const killQueries: Omit<StatementEnding, 'isLost'> = {
  hasServer: (connection) => socketOf(connection as KillableConnection) !== undefined,
  request: (client, connection) => kill(client, connection as KillableConnection),
  cut: (connection) => void socketOf(connection as KillableConnection)?.destroy()
}

function kill(client: KnexClient, victim: KillableConnection): EndRequest | undefined {
  const { threadId } = victim
  const socket = socketOf(victim)
  if (typeof threadId !== 'number' || socket === undefined) return undefined
  let killer: KillableConnection | undefined
  let isStopped = false
  const work = async () => {
    killer = (await client.acquireRawConnection()) as KillableConnection
    try {
      if (isStopped) return
      const processes = (await ask(killer, 'SHOW PROCESSLIST')) as Process[]
      if (!processes.some((process) => isOf(process, threadId, socket))) throw new OtherServerError()
      await ask(killer, `KILL QUERY ${threadId}`)
    } finally {
      // Waits until the server has said goodbye. If the socket was destroyed, there is nothing to wait for.
      await client.destroyRawConnection(killer)
    }
  }
  return {
    done: work(),
    stop() {
      isStopped = true
      if (killer !== undefined) socketOf(killer)?.destroy()
    }
  }
}

/**
 * Returns whether the process belongs to the connection. A proxy may have led the second connection to another server, where the same
 * number belongs to another client. Without a proxy, the server sees the port of this end of the connection. With one, it sees another
 * port, and then nothing is certain.
 */
function isOf({ Id, Host, Command }: Process, threadId: number, { localPort }: Socket): boolean {
  const isFromHere = localPort === undefined ? !String(Host).includes(':') : String(Host).endsWith(`:${localPort}`)
  return Number(Id) === threadId && isFromHere && Command !== 'Sleep'
}

/** Uses the driver's own form of rows, whatever the application has set. */
function ask(connection: KillableConnection, sql: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    connection.query({ sql, rowsAsArray: false, nestTables: false, typeCast: true }, (error, rows) =>
      error ? reject(error) : resolve(rows)
    )
  })
}

function socketOf({ stream, _socket }: KillableConnection): Socket | undefined {
  return stream ?? _socket
}

/** It is not certain that the second connection reached the same server. This error is handled in this file. */
class OtherServerError extends Error {}
