import type { Knex } from 'knex'
import { Hidden, InvalidOptionError, UnsupportedDatabaseError } from '../errors'
import type { KnexClient } from '../knex/knex-client'
import { CockroachDialect } from './cockroach/cockroach-dialect'
import type { Dialect } from './dialect'
import { MysqlDialect } from './mysql/mysql-dialect'
import { mysqlWork } from './mysql/mysql-work'
import { PostgresDialect } from './postgres/postgres-dialect'
import type { PostgresOptions } from './postgres/postgres-statements'
import { postgresWork } from './postgres/postgres-work'
import { SqliteDialect } from './sqlite/sqlite-dialect'
import { sqliteWork } from './sqlite/sqlite-work'
import type { WorkDialect } from './work-dialect'

/** Options that change how statements are sent. Each dialect uses the ones that it knows. */
export type DialectOptions = PostgresOptions

/** What is known of the database under a driver. */
interface KnownDriver {
  /** The database, for messages. */
  readonly database: string
  readonly dialect: (options: DialectOptions) => Dialect
  /** Undefined for a database on which the unit of work was never run. */
  readonly work: WorkDialect | undefined
}

const MYSQL: KnownDriver = { database: 'MariaDB and MySQL', dialect: () => new MysqlDialect(), work: mysqlWork }
const SQLITE: KnownDriver = { database: 'SQLite', dialect: () => new SqliteDialect(), work: sqliteWork }

/** The drivers by `knex.client.driverName`. Knex's own name of a dialect is the same for related databases. */
const DRIVERS: Readonly<Record<string, KnownDriver>> = {
  pg: { database: 'PostgreSQL', dialect: (options) => new PostgresDialect(options), work: postgresWork },
  cockroachdb: { database: 'CockroachDB', dialect: (options) => new CockroachDialect(options), work: undefined },
  mysql2: MYSQL,
  mysql: MYSQL,
  'better-sqlite3': SQLITE,
  sqlite3: SQLITE
}

const HOW_TO = `. For example:
  import knex from 'knex'
  const db = knex({ client: 'pg', connection: process.env.DATABASE_URL })
  const store = new KnexSessionStore({ knex: db })`

/** Returns the dialect of the caller's Knex. Throws if it is not a Knex, or if its database is not supported. */
export function detectDialect(knex: unknown, options: DialectOptions): Dialect {
  const driverName = driverNameOf(knex, HOW_TO)
  const driver = knownDriver(driverName)
  if (driver === undefined)
    throw new UnsupportedDatabaseError(
      driverName,
      supported(() => true)
    )
  return driver.dialect(options)
}

/** Other names that a knexfile may give to a client, as Knex knows them. */
const ALIASES: Readonly<Record<string, string>> = { postgres: 'pg', postgresql: 'pg', sqlite: 'sqlite3' }

/** Returns the dialect of a Knex client by its name in a knexfile. Throws if it is none, or of a database that is not supported. */
export function dialectOfClient(client: unknown, options: DialectOptions): Dialect {
  if (typeof client !== 'string') {
    const names = supported(() => true)
    throw new InvalidOptionError('client', `the name of a Knex client, as in a knexfile: ${names}`, new Hidden(client))
  }
  const driver = knownDriver(Object.hasOwn(ALIASES, client) ? (ALIASES[client] as string) : client)
  if (driver === undefined)
    throw new UnsupportedDatabaseError(
      client,
      supported(() => true)
    )
  return driver.dialect(options)
}

/** Returns the dialect of the caller's Knex for the unit of work. Throws in the same way. */
export function detectWorkDialect(knex: unknown): WorkDialect {
  const driverName = driverNameOf(knex, '')
  const work = knownDriver(driverName)?.work
  if (work === undefined)
    throw new UnsupportedDatabaseError(
      driverName,
      supported((driver) => driver.work !== undefined)
    )
  return work
}

/** True for a Knex and for a transaction. */
export function isKnex(value: unknown): value is Knex {
  return typeof clientIn(value)?.raw === 'function'
}

function driverNameOf(knex: unknown, howTo: string): string {
  if (isKnex(knex)) return (knex.client as KnexClient).driverName
  // memoryDatabase() and frameworks return an object with the Knex in it.
  const isInside = isKnex((knex as { knex?: unknown } | null | undefined)?.knex)
  const advice = isInside ? '; its property knex is a Knex instance: give that one' : howTo
  throw new InvalidOptionError('knex', 'a Knex instance or a transaction', new Hidden(knex), advice)
}

function clientIn(value: unknown): KnexClient | undefined {
  return (value as { client?: KnexClient } | null | undefined)?.client
}

function knownDriver(driverName: string): KnownDriver | undefined {
  return Object.hasOwn(DRIVERS, driverName) ? DRIVERS[driverName] : undefined
}

/** The supported databases with their Knex clients: "PostgreSQL (pg), …". */
function supported(isSupported: (driver: KnownDriver) => boolean): string {
  const clients = new Map<string, string[]>()
  for (const [client, driver] of Object.entries(DRIVERS)) {
    if (isSupported(driver)) clients.set(driver.database, [...(clients.get(driver.database) ?? []), client])
  }
  const list = [...clients].map(([database, names]) => `${database} (${names.join(', ')})`)
  return `${list.slice(0, -1).join(', ')}, and ${list.at(-1)}`
}
