import type { Database } from '../../knex/database'
import {
  type Diagnosis,
  type Dialect,
  doubleQuoted,
  driverCode,
  type ForeignOrder,
  isSameFolded,
  type Privileges,
  type SessionStatements
} from '../dialect'
import type { FoundTable } from '../found-table'
import { DEFAULT_COLUMNS, quotedColumns, type TableDefinition } from '../table-definition'
import { DESCRIBE, foundTable } from './describe-table'
import { orderBy } from './foreign-order'
import { read, runScript, writeEach } from './sqlite-connection'
import { SQLITE_EXPLANATIONS } from './sqlite-explanations'
import { SqliteStatements } from './sqlite-statements'

const INDEXED = ['expiresHour', 'ownerId'] as const
type IndexedColumn = (typeof INDEXED)[number]

export class SqliteDialect implements Dialect {
  readonly name = 'sqlite'
  readonly maxBatch = 256
  readonly isInProcess = true
  /** The driver is synchronous or has one connection. More statements at once would only wait in a queue. */
  readonly inFlight = { reads: 1, writes: 1, spare: 0 }
  readonly supportsUnlogged = false
  readonly createsInTransaction = true
  readonly explanations = SQLITE_EXPLANATIONS
  readonly sizeLimit = 'SQLITE_MAX_LENGTH, 1 GB unless compiled otherwise'

  refusal(name: string): string | undefined {
    return /^sqlite_/i.test(name) ? 'a name that does not begin with sqlite_ (SQLite keeps those for itself)' : undefined
  }

  readonly quote = doubleQuoted

  characters(expression: string): string {
    return `length(${expression})`
  }

  text(column: string): string {
    return column
  }

  epochMs(column: string): string {
    return `CAST(unixepoch(${column}, 'subsec') * 1000 AS INTEGER)`
  }

  foreignText(column: string): string {
    return `CAST(${column} AS TEXT)`
  }

  async foreignOrder(_db: Database, _table: string, column: string): Promise<ForeignOrder> {
    return orderBy(column)
  }

  async select(db: Database, sql: string, bindings: readonly unknown[]): Promise<unknown[][]> {
    return read(db, { sql, bindings })
  }

  async change(db: Database, sql: string, bindings: readonly unknown[]): Promise<number> {
    const [outcome] = await writeEach(db, `${sql} RETURNING 1`, [bindings])
    return outcome?.rows.length ?? 0
  }

  async size(db: Database, { tableName, schemaName }: TableDefinition): Promise<number | undefined> {
    const master = this.quote(schemaName, 'sqlite_master')
    const sql = `SELECT sum(pgsize) FROM dbstat
      WHERE schema = ? AND name IN (SELECT name FROM ${master} WHERE lower(tbl_name) = lower(?))`
    try {
      const [[bytes] = []] = await this.select(db, sql, [schemaName ?? 'main', tableName])
      return Number(bytes)
    } catch (error) {
      // The driver's SQLite may be built without that table.
      if (this.diagnose(error) === 'table-perhaps-missing') return undefined
      throw error
    }
  }

  async indexUses(): Promise<undefined> {
    return undefined
  }

  async describe(db: Database, { tableName, schemaName, columns }: TableDefinition): Promise<FoundTable | null> {
    return foundTable(await this.select(db, DESCRIBE, [columns.id, tableName, schemaName ?? null, schemaName ?? null]))
  }

  readonly isSameColumn = isSameFolded

  creation(table: TableDefinition): string[] {
    return this.createStatements(table, new Set())
  }

  async create(db: Database, table: TableDefinition): Promise<void> {
    try {
      await runScript(db, this.creation(table))
    } catch (error) {
      // An index keeps its name when its table is renamed. The index of a table that was put aside must not stop the new one.
      const takenNames = await this.namesIn(db, table.schemaName)
      const isIndexNameTaken = INDEXED.some((key) => takenNames.has(indexName(table, key).toLowerCase()))
      if (!isIndexNameTaken || takenNames.has(table.tableName.toLowerCase())) throw error
      await runScript(db, this.createStatements(table, takenNames))
    }
  }

  private createStatements(table: TableDefinition, takenNames: ReadonlySet<string>): string[] {
    const { id, data, expiresAt, expiresHour, revision, ownerId, createdAt, lastSeenAt } = quotedColumns(table, this.quote)
    // Here the schema stands before the name of the index, and the table is named without it.
    const index = (key: IndexedColumn, condition = '') =>
      `CREATE INDEX ${this.quote(table.schemaName, freeIndexName(table, key, takenNames))} ON ${this.quote(table.tableName)} (${this.quote(table.columns[key])})${condition}`
    return [
      `CREATE TABLE ${this.quote(table.schemaName, table.tableName)} (
  ${id} varchar(255) NOT NULL PRIMARY KEY,
  ${data} text NOT NULL,
  ${expiresAt} bigint NOT NULL,
  ${expiresHour} integer NOT NULL,
  ${revision} integer NOT NULL,
  ${ownerId} varchar(255) NULL,
  ${createdAt} bigint NOT NULL,
  ${lastSeenAt} bigint NOT NULL
)`,
      index('expiresHour'),
      index('ownerId', ` WHERE ${ownerId} IS NOT NULL`)
    ]
  }

  private async namesIn(db: Database, schemaName: string | undefined): Promise<Set<string>> {
    const rows = await this.select(db, `SELECT name FROM ${this.quote(schemaName, 'sqlite_master')}`, [])
    return new Set(rows.map(([name]) => String(name).toLowerCase()))
  }

  async drop(db: Database, table: TableDefinition): Promise<void> {
    await runScript(db, [`DROP TABLE IF EXISTS ${this.quote(table.schemaName, table.tableName)}`])
  }

  statements(table: TableDefinition): SessionStatements {
    return new SqliteStatements(this.quote, table)
  }

  grantCreate(): string {
    return 'allow it in the authorizer of the application'
  }

  /** SQLite has no users. An authorizer of the application has refused the statement. */
  async privileges(): Promise<Privileges> {
    return { user: '', lacking: [] }
  }

  diagnose(error: unknown): Diagnosis {
    const code = driverCode(error)
    if (code === undefined) return 'unreachable'
    // The driver has the same code for a missing table, a syntax error and more.
    if (code === 'SQLITE_ERROR') return 'table-perhaps-missing'
    // A prepared statement whose table was made again, or whose file was replaced.
    if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED') || code === 'SQLITE_SCHEMA') return 'transient'
    if (code.startsWith('SQLITE_CONSTRAINT')) return 'constraint'
    if (code.startsWith('SQLITE_READONLY')) return 'read-only'
    if (code === 'SQLITE_TOOBIG') return 'too-large'
    if (code === 'SQLITE_AUTH' || code === 'SQLITE_PERM') return 'denied'
    if (code.startsWith('SQLITE_CANTOPEN') || code.startsWith('SQLITE_IOERR')) return 'unreachable'
    return 'other'
  }
}

/** The name contains the meaning of the column, and not the name of the column. So two tables never want the same name for an index. */
function indexName({ tableName }: TableDefinition, key: IndexedColumn): string {
  return `${tableName}_${DEFAULT_COLUMNS[key]}_index`
}

function freeIndexName(table: TableDefinition, key: IndexedColumn, takenNames: ReadonlySet<string>): string {
  const name = indexName(table, key)
  let free = name
  for (let number = 1; takenNames.has(free.toLowerCase()); number++) free = `${name}${number}`
  return free
}
