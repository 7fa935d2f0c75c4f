import type { Connection, KnexClient } from './knex-client'

/** What tells of the drivers' connections how they reach a database. */
interface Reach {
  /** A connection to a server has a socket, each driver under a name of its own. */
  readonly stream?: object
  readonly _socket?: object
  readonly connection?: { readonly stream?: object } | null
  /** A connection to a file says so, or names it. */
  readonly memory?: boolean
  readonly filename?: string
}

/**
 * True if the connection is the database: closing it would lose the tables, or close something that is not opened again. This holds for a
 * database in this process, and it may hold for the only connection of a pool that the application brought. Such a connection is never
 * dropped.
 */
export function isTheDatabase({ config }: KnexClient, connection: Connection): boolean {
  const { max, options, config: settings } = config?.connectionPool ?? {}
  if ((max ?? options?.max ?? settings?.connectionLimit) === 1) return true
  const { stream, _socket, connection: wire, memory, filename } = connection as Reach
  if (stream !== undefined || _socket !== undefined || wire?.stream !== undefined) return false
  const isFile = memory === false || (typeof filename === 'string' && filename !== '' && !filename.includes(':memory:'))
  return !isFile
}
