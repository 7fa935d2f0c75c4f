import type { Database } from '../../knex/database'
import { type Diagnosis, driverCode } from '../dialect'
import type { FoundTable } from '../found-table'
import { holdingOf } from '../postgres/describe-table'
import { PostgresDialect } from '../postgres/postgres-dialect'
import type { SqlFlavour } from '../postgres/postgres-sql'
import type { PostgresOptions } from '../postgres/postgres-statements'
import { quotedColumns, type TableDefinition } from '../table-definition'

/** statement_completion_unknown: the node lost contact with the others before it knew the outcome. Another try tells. */
const AMBIGUOUS = '40003'

/** CockroachDB has the statements and errors of PostgreSQL, except for the members here. They were written from its documentation. */
export class CockroachDialect extends PostgresDialect {
  override readonly name = 'cockroachdb'
  override readonly sizeLimit = 'the cluster setting sql.conn.max_read_buffer_message_size, 16 MiB by default'
  /** Here `/` of two whole numbers gives a fraction. No setting is known that holds for one statement alone. */
  protected override readonly flavour: SqlFlavour = {
    boundsLockWaits: false,
    quotient: (dividend, divisor) => `div(${dividend}, ${divisor})`
  }

  constructor({ prepare }: PostgresOptions) {
    // Every commit waits for a majority of the nodes; there is no setting for it.
    super({ prepare, durability: 'all' })
  }

  override async describe(db: Database, table: TableDefinition): Promise<FoundTable | null> {
    const rows = await this.select(
      db,
      `SELECT column_name::text, data_type::text, character_maximum_length::text, is_nullable::text, column_default::text
         FROM information_schema.columns
        WHERE table_schema = COALESCE(?::text, current_schema()::text) AND table_name = ?::text ORDER BY ordinal_position`,
      [table.schemaName ?? null, table.tableName]
    )
    if (rows.length === 0) return null
    const columns = rows.map(([name, dataType, length, nullable, byDefault]) => {
      const type = length === null ? String(dataType) : `${dataType}(${length})`
      const isNullable = nullable === 'YES'
      const isRequired = !isNullable && byDefault === null
      return { name: String(name), type, holds: holdingOf(type), isNullable, isRequired, isInOtherKey: false }
    })
    return { columns, hasUniqueId: undefined }
  }

  /** It takes the word UNLOGGED, and logs the table all the same. */
  override readonly supportsUnlogged = false

  /** It has no function that tells it. */
  override async size(): Promise<undefined> {
    return undefined
  }

  /** Nor one that counts them. */
  override async indexUses(): Promise<undefined> {
    return undefined
  }

  /** No savepoint: it could not be rolled back over a change of the schema. */
  override async create(db: Database, table: TableDefinition): Promise<void> {
    for (const sql of this.creation(table)) await db.run(sql)
  }

  /** One statement, which is all or nothing; several in one transaction need not be. Text is compared byte for byte without a collation. */
  override creation(table: TableDefinition): string[] {
    const name = this.quote(table.schemaName, table.tableName)
    const { id, data, expiresAt, expiresHour, revision, ownerId, createdAt, lastSeenAt } = quotedColumns(table, this.quote)
    return [
      `CREATE TABLE ${name} (
  ${id} varchar(255) NOT NULL PRIMARY KEY,
  ${data} text NOT NULL,
  ${expiresAt} bigint NOT NULL,
  ${expiresHour} int4 NOT NULL,
  ${revision} int4 NOT NULL,
  ${ownerId} varchar(255) NULL,
  ${createdAt} bigint NOT NULL,
  ${lastSeenAt} bigint NOT NULL,
  INDEX (${expiresHour}),
  INDEX (${ownerId}) WHERE ${ownerId} IS NOT NULL
)`
    ]
  }

  override diagnose(error: unknown): Diagnosis {
    return driverCode(error) === AMBIGUOUS ? 'unreachable' : super.diagnose(error)
  }
}
