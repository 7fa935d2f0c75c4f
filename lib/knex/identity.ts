import { createHash } from 'node:crypto'
import { resolve } from 'node:path'
import type { Knex } from 'knex'
import type { KnexClient } from './knex-client'

/** Two Knex instances with equal identities reach the same tables. An identity that is an object is equal only to itself. */
export type DatabaseIdentity = string | object

/** A transaction has no pool of its own. It has the configuration of its Knex. */
const poolOfConfig = new WeakMap<object, object>()

/**
 * Returns the identity of the database that a Knex is connected to. A transaction is a database of its own: its tables may be rolled back,
 * so no other Knex must rely on them. A pool whose target is not known is also a database of its own: in memory, given as a function, or
 * made elsewhere.
 */
export function databaseIdentity(knex: Knex): DatabaseIdentity {
  const client = knex.client as KnexClient
  if (client.transacting === true) return client
  const shared = sharedIdentity(client)
  if (shared !== undefined) return shared
  const pool = objectOf(client) ?? client.pool ?? client
  poolOfConfig.set(client.config, pool)
  return pool
}

/** Returns the identity of the database outside of a transaction, if it is known. */
export function identityBelowTransaction(knex: Knex): DatabaseIdentity | undefined {
  const client = knex.client as KnexClient
  return sharedIdentity(client) ?? objectOf(client) ?? poolOfConfig.get(client.config)
}

/**
 * Returns the database itself, if it is an object of this process, or a pool that the application made. Several Knex instances may use the
 * same one.
 */
function objectOf(client: KnexClient): object | undefined {
  return client.pglite ?? (client.config as { connectionPool?: object }).connectionPool
}

function sharedIdentity(client: KnexClient): string | undefined {
  const { connection, connectionPool, searchPath } = client.config as Knex.Config & { connectionPool?: unknown }
  if (typeof connection === 'function' || connectionPool !== undefined || client.pglite !== undefined) return undefined
  const settings = (client.connectionSettings ?? {}) as Record<string, unknown>
  if ('filename' in settings) return fileIdentity(settings.filename)
  const { host, socketPath, port, database, user } = settings
  const url = settings.connectionString ?? settings.uri
  const reached = JSON.stringify([client.driverName, host ?? socketPath, port, database, user, url, searchPath])
  // A URL contains a password, and an identity is kept as long as the process lives.
  return `server:${createHash('sha256').update(reached).digest('base64url')}`
}

function fileIdentity(filename: unknown): string | undefined {
  if (typeof filename !== 'string' || filename === '' || filename === ':memory:' || filename.startsWith('file:')) return undefined
  return JSON.stringify(['file', resolve(filename)])
}
