import { resolve } from 'node:path'
import type { Knex } from 'knex'
import type { KnexClient } from './database'

/** Two Knex instances with equal identities reach the same tables. An object stands only for itself. */
export type DatabaseIdentity = string | object

/**
 * What a Knex instance is connected to. A transaction is its own: its tables may be rolled back, and then nobody else must believe in
 * them. So is a pool whose target cannot be known: in memory, given as a function, or made elsewhere.
 */
export function databaseIdentity(knex: Knex): DatabaseIdentity {
  const client = knex.client as KnexClient
  if (client.transacting === true) return client
  const { connectionPool } = client.config as { connectionPool?: object }
  return sharedIdentity(client) ?? connectionPool ?? client.pool ?? client
}

/** The identity of the database under a transaction, if it can be known. */
export function identityBelowTransaction(knex: Knex): string | undefined {
  return sharedIdentity(knex.client as KnexClient)
}

function sharedIdentity(client: KnexClient): string | undefined {
  const { connection, connectionPool, searchPath } = client.config as Knex.Config & { connectionPool?: unknown }
  if (typeof connection === 'function' || connectionPool !== undefined) return undefined
  const settings = (client.connectionSettings ?? {}) as Record<string, unknown>
  if ('filename' in settings) return fileIdentity(settings.filename)
  const { host, socketPath, port, database, user } = settings
  return JSON.stringify(['server', client.driverName, host ?? socketPath, port, database, user, settings.connectionString, searchPath])
}

function fileIdentity(filename: unknown): string | undefined {
  if (typeof filename !== 'string' || filename === '' || filename === ':memory:' || filename.startsWith('file:')) return undefined
  return JSON.stringify(['file', resolve(filename)])
}
