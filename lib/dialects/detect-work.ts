import type { Knex } from 'knex'
import { InvalidOptionError, UnsupportedDatabaseError } from '../errors'
import { clientOf, type KnexClient } from '../knex/knex-client'
import { mysqlWork } from './mysql/mysql-work'
import { postgresWork } from './postgres/postgres-work'
import { sqliteWork } from './sqlite/sqlite-work'
import type { WorkDialect } from './work-dialect'

const BY_DRIVER: Readonly<Record<string, WorkDialect>> = {
  pg: postgresWork,
  'better-sqlite3': sqliteWork,
  sqlite3: sqliteWork,
  mysql: mysqlWork,
  mysql2: mysqlWork
}

/** Returns the dialect of this Knex for the unit of work. Throws if it is not a Knex, or of a database that is not supported. */
export function detectWorkDialect(knex: unknown): WorkDialect {
  const client = typeof knex === 'function' ? (clientOf(knex as unknown as Knex) as KnexClient | undefined) : undefined
  if (typeof client?.driverName !== 'string') throw new InvalidOptionError('knex', 'a Knex instance or a transaction', knex)
  const dialect = Object.hasOwn(BY_DRIVER, client.driverName) ? BY_DRIVER[client.driverName] : undefined
  if (dialect === undefined) throw new UnsupportedDatabaseError(client.driverName, Object.keys(BY_DRIVER).join(', '))
  return dialect
}
