import type { Connection, KnexClient } from './knex-client'

/** The properties by which a driver's connection shows how it reaches the database. */
interface Reach {
  /** A connection to a server has a socket. Each driver has another name for it. */
  readonly stream?: object
  readonly _socket?: object
  readonly connection?: { readonly stream?: object } | null
  /** A connection to a file says that it is one, or has the name of the file. */
  readonly memory?: boolean
  readonly filename?: string
}

/**
 * True if the connection is the database itself: closing it would lose the tables, or would close something that is not opened again. This
 * is so for a database in this process. It may be so for the only connection of a pool that the application brought. Such a connection is
 * never dropped.
 */
export function isTheDatabase({ config }: KnexClient, connection: Connection): boolean {
  const { max, options, config: settings } = config?.connectionPool ?? {}
  if ((max ?? options?.max ?? settings?.connectionLimit) === 1) return true
  const { stream, _socket, connection: wire, memory, filename } = connection as Reach
  if (stream !== undefined || _socket !== undefined || wire?.stream !== undefined) return false
  const isFile = memory === false || (typeof filename === 'string' && filename !== '' && !filename.includes(':memory:'))
  return !isFile
}
