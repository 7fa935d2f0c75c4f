import { DatabaseError } from '../../database-errors'
import type { Database } from '../../knex/database'
import type { StatementEnding } from '../../knex/statement-ending'
import {
  type Diagnosis,
  type Dialect,
  doubleQuoted,
  driverCode,
  type ForeignOrder,
  type IndexUse,
  NETWORK_CODES,
  type Privileges,
  type SessionStatements,
  type TableStorage,
  toIndexUses
} from '../dialect'
import type { FoundTable } from '../found-table'
import { quotedColumns, type TableDefinition } from '../table-definition'
import { cancelRequests } from './cancel-request'
import { DESCRIBE, foundTable } from './describe-table'
import { POSTGRES_EXPLANATIONS } from './postgres-explanations'
import type { SqlFlavour } from './postgres-sql'
import { type PostgresOptions, PostgresStatements } from './postgres-statements'
import { AS_TEXT } from './run-prepared'

/** The longest name, in bytes: NAMEDATALEN - 1. The server cuts longer names silently. */
const MAX_NAME_BYTES = 63

const MISSING = new Set(['42P01', '3F000'])
/** undefined_column: the table was changed, or another one has its name now. */
const COLUMN_MISSING = new Set(['42703'])
/** integrity_constraint_violation: not_null, foreign_key, unique, check, exclusion. */
const CONSTRAINT_CLASS = /^23/
/** serialization_failure, deadlock_detected. */
const TRANSIENT = new Set(['40001', '40P01'])
/** lock_not_available: the lock_timeout that we set, or the one of a role. */
const LOCKED = new Set(['55P03'])
/** query_canceled: a CancelRequest, statement_timeout, pg_cancel_backend. */
const ENDED = new Set(['57014'])
/** read_only_sql_transaction: a standby, or default_transaction_read_only. */
const READ_ONLY = new Set(['25006'])
/** feature_not_supported, syntax_error. */
const NO_COMPRESSION = new Set(['0A000', '42601'])
const DENIED = new Set(['42501'])
/**
 * too_many_connections, invalid_catalog_name (the database was dropped, and perhaps is being made again), and the time-outs that end a
 * connection within a transaction.
 */
const UNREACHABLE = new Set(['53300', '3D000', '25P03', '25P04'])
/**
 * Classes of errors that end the connection: connection_exception, and those errors of operator_intervention that end a session of the
 * server.
 */
const UNREACHABLE_CLASS = /^(08|57P)/
/** After either of them the server ends the connection. The words differ in other languages, and then the class of the code has to tell. */
const ENDING = new Set(['FATAL', 'PANIC'])
/** Classes that are fatal when a connection begins. Then the user or the settings of the connection are wrong. */
const REFUSED_CLASS = /^(22|28|42)/
const TOO_LARGE = new Set(['54000', '53200'])
/** invalid_sql_statement_name, duplicate_prepared_statement: the next statement reached another connection of the server. */
const UNPREPARED = new Set(['26000', '42P05'])

/** Encodings in which UTF-8 is stored as it is. Under SQL_ASCII the server converts nothing. */
const TRUE_TO_UTF8 = new Set(['UTF8', 'SQL_ASCII'])
const WRONG_ENCODING =
  "client_encoding of the connection must be UTF8, because the driver sends UTF8; run SET client_encoding = 'UTF8' on it"

export class PostgresDialect implements Dialect {
  readonly name: string = 'postgresql'
  /** The most rows of a statement. More rows do not make a statement cheaper, and fewer rows lose a third of the speed. */
  readonly isInProcess = false
  readonly maxBatch = 256
  readonly inFlight = { reads: 4, writes: 2, spare: 2 }
  readonly createsInTransaction = true
  readonly supportsUnlogged: boolean = true
  readonly explanations = POSTGRES_EXPLANATIONS
  readonly sizeLimit: string = '1 GB, or what the memory of the server allows'

  protected readonly flavour: SqlFlavour = { boundsLockWaits: true, quotient: (dividend, divisor) => `(${dividend}) / ${divisor}` }

  constructor(private readonly options: PostgresOptions) {}

  refusal(name: string): string | undefined {
    return Buffer.byteLength(name) > MAX_NAME_BYTES
      ? `at most ${MAX_NAME_BYTES} bytes long (PostgreSQL cuts longer names silently)`
      : undefined
  }

  readonly quote = doubleQuoted

  readonly ending: StatementEnding = { ...cancelRequests, isLost: (error) => this.diagnose(error) === 'unreachable' }

  characters(expression: string): string {
    return `char_length(${expression})`
  }

  text(column: string): string {
    return column
  }

  epochMs(column: string, zone: Parameters<Dialect['epochMs']>[1]): string {
    const moment = zone === 'of the connection' ? `${column}::timestamptz` : inZoneOfNewConnection(column)
    // As text: the end of time is no number of the database.
    return `(extract(epoch FROM ${moment}) * 1000)::text`
  }

  foreignText(column: string): string {
    return `${column}::text`
  }

  async foreignOrder(_db: Database, _table: string, column: string): Promise<ForeignOrder> {
    return { place: [`${column}::text`], after: (place) => ({ sql: `${column} > ?`, bindings: place }) }
  }

  async select(db: Database, sql: string, bindings: readonly unknown[]): Promise<unknown[][]> {
    const result = (await db.run(sql, bindings, { driver: { rowMode: 'array', types: AS_TEXT } })) as { rows: unknown[][] }
    return result.rows
  }

  async change(db: Database, sql: string, bindings: readonly unknown[]): Promise<number> {
    return (await this.select(db, `${sql} RETURNING 1`, bindings)).length
  }

  async size(db: Database, table: TableDefinition): Promise<number | undefined> {
    const name = this.quote(table.schemaName, table.tableName)
    const [[bytes] = []] = await this.select(db, 'SELECT pg_total_relation_size(to_regclass(?)::oid)', [name])
    return Number(bytes)
  }

  /** Searches. */
  async indexUses(db: Database, table: TableDefinition): Promise<readonly IndexUse[] | undefined> {
    const sql = `SELECT indexrelname::text, idx_scan::text FROM pg_stat_all_indexes
      WHERE relid = to_regclass(?)::oid AND current_setting('track_counts') = 'on' ORDER BY 1`
    const rows = await this.select(db, sql, [this.quote(table.schemaName, table.tableName)])
    return rows.length === 0 ? undefined : toIndexUses(rows)
  }

  async describe(db: Database, table: TableDefinition): Promise<FoundTable | null> {
    const rows = await this.select(db, DESCRIBE, [table.columns.id, this.quote(table.schemaName, table.tableName)])
    const [[encoding] = []] = rows
    // The driver sends and reads UTF-8. A server that takes it for another encoding stores other characters, and reports no error.
    if (!TRUE_TO_UTF8.has(String(encoding))) throw new DatabaseError('table check', this.name, undefined, WRONG_ENCODING)
    return foundTable(rows, table)
  }

  isSameColumn(name: string, other: string): boolean {
    return name === other
  }

  async create(db: Database, table: TableDefinition, { unlogged }: Pick<TableStorage, 'unlogged'>): Promise<void> {
    try {
      await this.runAtOnce(db, this.creation(table, { unlogged, lz4: true }))
    } catch (error) {
      // A server before 14, or one that was built without this compression, compresses in the old way. That costs a third more for a write.
      if (!NO_COMPRESSION.has(driverCode(error) ?? '')) throw error
      await this.runAtOnce(db, this.creation(table, { unlogged, lz4: false }))
    }
  }

  /**
   * Runs the statements one after the other, because not every driver takes several in one text. They are all or nothing. Inside the
   * caller's transaction they run in a savepoint, so that a failure does not abort the transaction.
   */
  private async runAtOnce(db: Database, statements: readonly string[]): Promise<void> {
    await db.transaction(async (trx) => {
      for (const sql of statements) await trx.run(sql)
    })
  }

  creation(table: TableDefinition, { unlogged, lz4 }: TableStorage): string[] {
    const compression = lz4 ? ' COMPRESSION lz4' : ''
    const name = this.quote(table.schemaName, table.tableName)
    const { id, data, expiresAt, expiresHour, revision, ownerId, createdAt, lastSeenAt } = quotedColumns(table, this.quote)
    // COLLATE "C": ids are compared byte for byte, at half the cost of a language's collation.
    // The indexes get no names: the server finds free ones, even if a table that was put aside by renaming still has the names of its own.
    // fillfactor: with room in each page, an update of a row stays in its page and leaves the indexes alone (HOT).
    // The index of hashes finds rows at a sixth less cost than the primary key, which compares texts. Only inserts pay for it.
    return [
      `CREATE${unlogged ? ' UNLOGGED' : ''} TABLE ${name} (
  ${id} varchar(255) COLLATE "C" NOT NULL PRIMARY KEY,
  ${data} text${compression} NOT NULL,
  ${expiresAt} bigint NOT NULL,
  ${expiresHour} integer NOT NULL,
  ${revision} integer NOT NULL,
  ${ownerId} varchar(255) NULL,
  ${createdAt} bigint NOT NULL,
  ${lastSeenAt} bigint NOT NULL
)${this.storage}`,
      `CREATE INDEX ON ${name} USING hash (${id})`,
      `CREATE INDEX ON ${name} (${expiresHour})`,
      `CREATE INDEX ON ${name} (${ownerId}) WHERE ${ownerId} IS NOT NULL`
    ]
  }

  protected readonly storage: string = ' WITH (fillfactor = 85)'

  async drop(db: Database, table: TableDefinition): Promise<void> {
    await db.run(`DROP TABLE IF EXISTS ${this.quote(table.schemaName, table.tableName)}`)
  }

  statements(table: TableDefinition): SessionStatements {
    return new PostgresStatements(this.quote, table, this.options, this.flavour)
  }

  grantCreate({ schemaName = 'public' }: TableDefinition): string {
    return `GRANT CREATE ON SCHEMA ${this.quote(schemaName)} TO …`
  }

  async privileges(db: Database, table: TableDefinition): Promise<Privileges> {
    const { schemaName } = table
    if (schemaName !== undefined) {
      const [[name, mayUse] = []] = await this.select(
        db,
        "SELECT quote_ident(current_user::text), has_schema_privilege(?::text, 'USAGE')::text",
        [schemaName]
      )
      const before = `GRANT USAGE ON SCHEMA ${this.quote(schemaName)} TO ${name}; `
      if (mayUse === 'false') return { user: String(name), lacking: ['USAGE of its schema'], before }
    }
    const rows = await this.select(
      db,
      `SELECT quote_ident(current_user::text), privilege FROM (SELECT 1) AS one
         LEFT JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege ON NOT has_table_privilege(?::text, privilege)`,
      [this.quote(table.schemaName, table.tableName)]
    )
    return { user: String(rows[0]?.[0]), lacking: rows.flatMap(([, privilege]) => (privilege === null ? [] : [String(privilege)])) }
  }

  diagnose(error: unknown): Diagnosis {
    const code = driverCode(error)
    if (code === undefined) {
      // The driver gives no code if the connection ends during a statement, if a proxy cuts it, or if the pool is gone.
      return 'unreachable'
    }
    if (endsConnection(error, code) || NETWORK_CODES.has(code)) return 'unreachable'
    if (MISSING.has(code)) return 'table-missing'
    if (COLUMN_MISSING.has(code)) return 'table-perhaps-missing'
    if (CONSTRAINT_CLASS.test(code)) return 'constraint'
    if (TRANSIENT.has(code)) return 'transient'
    if (LOCKED.has(code)) return 'locked'
    if (ENDED.has(code)) return 'ended'
    if (READ_ONLY.has(code)) return 'read-only'
    if (DENIED.has(code)) return 'denied'
    if (TOO_LARGE.has(code)) return 'too-large'
    return UNPREPARED.has(code) ? 'unprepared' : 'other'
  }
}

/**
 * The zone is the one that RESET would set. A column with a time zone needs none, and would be moved by one.
 */
function inZoneOfNewConnection(column: string): string {
  const zone = "(SELECT reset_val FROM pg_settings WHERE lower(name) = 'timezone')"
  return `CASE pg_typeof(${column})::text WHEN 'timestamp with time zone' THEN ${column}::timestamptz
    ELSE ${column}::timestamp AT TIME ZONE ${zone} END`
}

function endsConnection(error: unknown, code: string): boolean {
  if (UNREACHABLE.has(code) || UNREACHABLE_CLASS.test(code)) return true
  const { severity } = error as { severity?: string }
  return severity !== undefined && ENDING.has(severity) && !REFUSED_CLASS.test(code)
}
