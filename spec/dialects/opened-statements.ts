import type { Knex } from 'knex'
import { CockroachDialect } from '../../lib/dialects/cockroach/cockroach-dialect'
import type { Dialect, SessionStatements } from '../../lib/dialects/dialect'
import { detectDialect } from '../../lib/dialects/drivers'
import { PostgresDialect } from '../../lib/dialects/postgres/postgres-dialect'
import { type ColumnNames, DEFAULT_COLUMNS, LAYOUT_VERSION, type TableDefinition } from '../../lib/dialects/table-definition'
import { Database } from '../../lib/knex/database'
import { type AnyDatabaseName, databaseNamed } from '../support/databases'

/** A database together with a driver and its settings, as an application may have them. */
export interface Setup {
  readonly title: string
  readonly database: AnyDatabaseName
  readonly prepare?: boolean
  /** Laid over the configuration of the Knex that the statements run on. */
  readonly knex?: (config: Knex.Config) => Knex.Config
  /** Another dialect than the driver's own. */
  readonly dialect?: Dialect
}

/** A sessions table, empty, and the statements on it. */
export interface OpenedStatements {
  readonly config: Knex.Config
  readonly knex: Knex
  readonly db: Database
  readonly dialect: Dialect
  readonly table: TableDefinition
  readonly statements: SessionStatements
  /** The name of the table, as a statement writes it. */
  readonly name: string
  /** The name of a column, as a statement writes it. */
  column(key: keyof ColumnNames): string
}

export interface Names {
  readonly tableName?: string
  readonly columns?: Partial<ColumnNames>
}

const REFUSALS: Readonly<Record<string, string>> = {
  ER_NOT_SUPPORTED_AUTH_MODE: 'the driver mysql knows no way to sign in that this server offers (MySQL 8.4 and later): use mysql2',
  ER_WRONG_VALUE_FOR_VAR: 'the server has no such SQL mode: it is one of MariaDB alone'
}

/** Why the server cannot be used like this, or undefined. */
export async function refusalOf(setup: Setup): Promise<string | undefined> {
  if (setup.knex === undefined) return undefined
  await using opened = await databaseNamed(setup.database).open()
  try {
    await opened.connect(setup.knex(opened.config)).raw('SELECT 1')
    return undefined
  } catch (error) {
    const refusal = REFUSALS[(error as { code: string }).code]
    if (refusal === undefined) throw error
    return refusal
  }
}

/** A database with a table for each spec. */
export interface OpenedSetup extends AsyncDisposable {
  table(names?: Names): Promise<OpenedStatements>
}

export async function openSetup(setup: Setup): Promise<OpenedSetup> {
  const opened = await databaseNamed(setup.database).open()
  const knex = setup.knex === undefined ? opened.knex : opened.connect(setup.knex(opened.config))
  const dialect = setup.dialect ?? detectDialect(knex, { prepare: setup.prepare ?? true, durability: 'all' })
  const db = Database.of(knex, 20_000)
  let made = 0
  return {
    async table({ tableName = `sessions_${++made}`, columns } = {}) {
      const table = { tableName, schemaName: undefined, version: LAYOUT_VERSION, columns: { ...DEFAULT_COLUMNS, ...columns } }
      await dialect.create(db, table, { unlogged: false })
      return {
        config: opened.config,
        knex,
        db,
        dialect,
        table,
        statements: dialect.statements(table),
        name: dialect.quote(undefined, tableName),
        column: (key) => dialect.quote(table.columns[key])
      }
    },
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]()
  }
}

/** The connection of a configuration of the specs, which is a URL, as an object, with more settings. */
export function connectionOf(config: Knex.Config, more: object): Knex.MySql2ConnectionConfig {
  const url = new URL(config.connection as string)
  return {
    host: url.hostname,
    port: Number(url.port),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    database: url.pathname.slice(1),
    ...more
  }
}

const SETTINGS = 'SET SESSION sql_mode = '

/** The settings of mysql2 that an application may have and that would change what we read. */
export const ODD_SETTINGS = {
  typeCast: () => 'of the application',
  rowsAsArray: false,
  nestTables: true,
  supportBigNumbers: true,
  bigNumberStrings: true,
  dateStrings: true,
  decimalNumbers: true,
  namedPlaceholders: true,
  multipleStatements: true
}

/** Runs a statement on each connection that the pool makes. */
export function afterCreate(...statements: string[]): Knex.PoolConfig {
  return {
    min: 0,
    max: 10,
    afterCreate(
      connection: { query(sql: string, done: (error: unknown) => void): void },
      done: (error: unknown, connection: unknown) => void
    ) {
      const next = (index: number) => {
        const sql = statements[index]
        if (sql === undefined) done(null, connection)
        else connection.query(sql, (error) => (error ? done(error, connection) : next(index + 1)))
      }
      next(0)
    }
  }
}

const mysqlWith = (title: string, connection: object, ...statements: string[]): Setup => ({
  title: `mysql, ${title}`,
  database: 'mysql',
  knex: (config) => ({
    ...config,
    connection: connectionOf(config, connection),
    pool: afterCreate(...statements)
  })
})

/** All of CockroachDB's dialect that PostgreSQL understands: not the CREATE TABLE, which has its indexes inside. */
function cockroachOnPostgres(): Dialect {
  const options = { prepare: true, durability: 'all' } as const
  const dialect: Dialect = new CockroachDialect(options)
  dialect.create = (db, table, storage) => new PostgresDialect(options).create(db, table, storage)
  return dialect
}

/** Every way there is to the statements. */
export const SETUPS: readonly Setup[] = [
  { title: 'sqlite', database: 'sqlite' },
  { title: 'postgres', database: 'postgres' },
  { title: 'postgres, unprepared', database: 'postgres', prepare: false },
  { title: 'pglite', database: 'pglite' },
  { title: 'mysql', database: 'mysql' },
  { title: 'mysql, by the older driver', database: 'mysql', knex: (config) => ({ ...config, client: 'mysql' }) },
  mysqlWith('with settings of the application', ODD_SETTINGS),
  mysqlWith('whose affected rows are those that changed', { flags: '-FOUND_ROWS' }),
  mysqlWith('on a latin1 connection', { charset: 'latin1_swedish_ci' }),
  mysqlWith('with ANSI_QUOTES', {}, `${SETTINGS}'ANSI_QUOTES,STRICT_ALL_TABLES,PIPES_AS_CONCAT,IGNORE_SPACE'`),
  mysqlWith('with SIMULTANEOUS_ASSIGNMENT', {}, `${SETTINGS}'SIMULTANEOUS_ASSIGNMENT,EMPTY_STRING_IS_NULL'`),
  mysqlWith('with NO_BACKSLASH_ESCAPES', {}, `${SETTINGS}'NO_BACKSLASH_ESCAPES,TRADITIONAL'`),
  { title: "cockroach's statements on postgres", database: 'postgres', dialect: cockroachOnPostgres() },
  { title: 'cockroach', database: 'cockroach' }
]
