import type { Knex } from 'knex'
import { Hidden, InvalidOptionError, UnsupportedDatabaseError } from '../errors'
import type { KnexClient } from '../knex/knex-client'
import { CockroachDialect } from './cockroach/cockroach-dialect'
import type { Dialect } from './dialect'
import { MysqlDialect } from './mysql/mysql-dialect'
import { PostgresDialect } from './postgres/postgres-dialect'
import type { PostgresOptions } from './postgres/postgres-statements'
import { SqliteDialect } from './sqlite/sqlite-dialect'

/** Options that change how statements are sent. Each dialect takes the ones that it knows. */
export type DialectOptions = PostgresOptions

const HOW_TO = `. For example:
  import knex from 'knex'
  const db = knex({ client: 'pg', connection: process.env.DATABASE_URL })
  const store = new KnexSessionStore({ knex: db })`

/** Knex's own name for a dialect does not tell relatives apart, so the driver decides. */
const BY_DRIVER: Readonly<Record<string, (options: DialectOptions) => Dialect>> = {
  pg: (options) => new PostgresDialect(options),
  cockroachdb: (options) => new CockroachDialect(options),
  mysql2: () => new MysqlDialect(),
  mysql: () => new MysqlDialect(),
  'better-sqlite3': () => new SqliteDialect(),
  sqlite3: () => new SqliteDialect()
}

const SUPPORTED = 'PostgreSQL (pg), CockroachDB (cockroachdb), MariaDB and MySQL (mysql2, mysql), and SQLite (better-sqlite3, sqlite3)'

/** The dialect of the caller's Knex. Throws where it is not a Knex, or of a database that is not supported. */
export function detectDialect(knex: unknown, options: DialectOptions): Dialect {
  const client = (knex as Knex | undefined)?.client as KnexClient | undefined
  if (!isKnexClient(client)) throw new InvalidOptionError('knex', 'a Knex instance or a transaction', new Hidden(knex), adviceOn(knex))
  const make = Object.hasOwn(BY_DRIVER, client.driverName) ? BY_DRIVER[client.driverName] : undefined
  if (make === undefined) throw new UnsupportedDatabaseError(client.driverName, SUPPORTED)
  return make(options)
}

/** True for a Knex and for a transaction. */
export function isKnex(value: unknown): value is Knex {
  return isKnexClient((value as Knex | null | undefined)?.client)
}

function isKnexClient(client: KnexClient | undefined): client is KnexClient {
  return typeof client?.raw === 'function'
}

/** What memoryDatabase() and frameworks give is an object with the Knex in it. */
function adviceOn(given: unknown): string {
  return isKnex((given as { knex?: unknown } | null | undefined)?.knex) ? '; its property knex is one, give that' : HOW_TO
}
