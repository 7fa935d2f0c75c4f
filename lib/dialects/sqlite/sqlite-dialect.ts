import type { Database } from '../../knex/database'
import { type Diagnosis, type Dialect, doubleQuoted, driverCode, isSameFolded, type Privileges, type SessionStatements } from '../dialect'
import type { FoundTable } from '../found-table'
import { DEFAULT_COLUMNS, quotedColumns, type TableDefinition } from '../table-definition'
import { DESCRIBE, foundTable } from './describe-table'
import { read, runScript } from './sqlite-connection'
import { SQLITE_EXPLANATIONS } from './sqlite-explanations'
import { SqliteStatements } from './sqlite-statements'

const INDEXED = ['expiresHour', 'ownerId'] as const
type IndexedColumn = (typeof INDEXED)[number]

export class SqliteDialect implements Dialect {
  readonly name = 'sqlite'
  readonly maxBatch = 256
  readonly isInProcess = true
  /** The driver is synchronous or has one connection: more at once would only queue. */
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

  async select(db: Database, sql: string, bindings: readonly unknown[]): Promise<unknown[][]> {
    return read(db, { sql, bindings })
  }

  async describe(db: Database, { tableName, schemaName, columns }: TableDefinition): Promise<FoundTable | null> {
    return foundTable(await this.select(db, DESCRIBE, [columns.id, tableName, schemaName ?? null, schemaName ?? null]))
  }

  readonly isSameColumn = isSameFolded

  async create(db: Database, table: TableDefinition): Promise<void> {
    try {
      await runScript(db, this.createStatements(table, new Set()))
    } catch (error) {
      // An index keeps its name when its table is renamed: that of a table which was put aside must not be in the way of the new one.
      const takenNames = await this.namesIn(db, table.schemaName)
      const isIndexNameTaken = INDEXED.some((key) => takenNames.has(indexName(table, key).toLowerCase()))
      if (!isIndexNameTaken || takenNames.has(table.tableName.toLowerCase())) throw error
      await runScript(db, this.createStatements(table, takenNames))
    }
  }

  private createStatements(table: TableDefinition, takenNames: ReadonlySet<string>): string[] {
    const { id, data, expiresAt, expiresHour, revision, ownerId, createdAt, lastSeenAt } = quotedColumns(table, this.quote)
    // Here the schema qualifies the index, and the table it is on is named without it.
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

  /** SQLite has no users: an authorizer of the application has refused. */
  async privileges(): Promise<Privileges> {
    return { user: '', lacking: [] }
  }

  diagnose(error: unknown): Diagnosis {
    const code = driverCode(error)
    if (code === undefined) return 'unreachable'
    // The driver has one code for a missing table, a syntax error and more.
    if (code === 'SQLITE_ERROR') return 'table-perhaps-missing'
    // A table made anew, or a file replaced, under a statement prepared before.
    if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED') || code === 'SQLITE_SCHEMA') return 'transient'
    if (code.startsWith('SQLITE_READONLY')) return 'read-only'
    if (code === 'SQLITE_TOOBIG') return 'too-large'
    if (code === 'SQLITE_AUTH' || code === 'SQLITE_PERM') return 'denied'
    if (code.startsWith('SQLITE_CANTOPEN') || code.startsWith('SQLITE_IOERR')) return 'unreachable'
    return 'other'
  }
}

/** Named after the meaning of the column, not after its name: then two tables never want the same index name. */
function indexName({ tableName }: TableDefinition, key: IndexedColumn): string {
  return `${tableName}_${DEFAULT_COLUMNS[key]}_index`
}

function freeIndexName(table: TableDefinition, key: IndexedColumn, takenNames: ReadonlySet<string>): string {
  const name = indexName(table, key)
  let free = name
  for (let number = 1; takenNames.has(free.toLowerCase()); number++) free = `${name}${number}`
  return free
}
