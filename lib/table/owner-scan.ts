import { type Dialect, toRecord } from '../dialects/dialect'
import { quotedColumns, type TableDefinition } from '../dialects/table-definition'
import type { Database } from '../knex/database'
import type { SessionRecord } from '../record/session-record'
import { type Condition, liveRows, type ScanRange } from './live-rows'

/** A live row of an owner. */
export interface OwnedRecord extends SessionRecord {
  /** When it was last written or touched, in milliseconds since the epoch. */
  readonly lastSeenAt: number
}

/** The place of a row in the order of its owner's rows: the newest first. */
export type OwnedPlace = Pick<SessionRecord, 'id' | 'createdAt'>

/** The statements on the live rows of one owner, which are found by the index of owners. */
export class OwnerScan {
  constructor(
    private readonly db: Database,
    private readonly dialect: Dialect,
    private readonly table: TableDefinition,
    private readonly now: () => number
  ) {}

  /** At most `limit` rows, the newest first, after the place given. */
  async records(range: ScanRange, ownerId: string, after: OwnedPlace | undefined, limit: number): Promise<OwnedRecord[]> {
    const { id, data, expiresAt, revision, createdAt, lastSeenAt } = this.columns
    const list = `${this.dialect.text(id)}, ${this.dialect.text(data)}, ${expiresAt}, ${revision}, ${createdAt}, ${lastSeenAt}`
    const rows = await this.page(list, range, ownerId, after, limit)
    return rows.map((row) => ({ ...toRecord(row), lastSeenAt: Number(row[5]) }))
  }

  /** The places of at most `limit` rows, in the same way. */
  async places(range: ScanRange, ownerId: string, after: OwnedPlace | undefined, limit: number): Promise<OwnedPlace[]> {
    const { id, createdAt } = this.columns
    const rows = await this.page(`${this.dialect.text(id)}, ${createdAt}`, range, ownerId, after, limit)
    return rows.map(([storedId, moment]) => ({ id: storedId as string, createdAt: Number(moment) }))
  }

  /** How many rows the owner has. */
  async count(range: ScanRange, ownerId: string): Promise<number> {
    const { sql, bindings } = this.ofOwner(range, ownerId)
    const rows = await this.dialect.select(this.db, `SELECT count(*) FROM ${this.name} WHERE ${sql} LIMIT 1`, bindings)
    return Number(rows[0]?.[0])
  }

  private page(list: string, range: ScanRange, ownerId: string, after: OwnedPlace | undefined, limit: number): Promise<unknown[][]> {
    const { id, createdAt } = this.columns
    const { sql, bindings } = this.ofOwner(range, ownerId)
    const isAfter = after === undefined ? '' : ` AND (${createdAt} < ? OR (${createdAt} = ? AND ${id} > ?))`
    return this.dialect.select(
      this.db,
      `SELECT ${list} FROM ${this.name} WHERE ${sql}${isAfter} ORDER BY ${createdAt} DESC, ${id} LIMIT ?`,
      [...bindings, ...(after === undefined ? [] : [after.createdAt, after.createdAt, after.id]), limit]
    )
  }

  private ofOwner(range: ScanRange, ownerId: string): Condition {
    const live = liveRows(this.dialect, this.table, range, this.now())
    return { sql: `${this.columns.ownerId} = ? AND ${live.sql}`, bindings: [ownerId, ...live.bindings] }
  }

  private get columns() {
    return quotedColumns(this.table, this.dialect.quote)
  }

  private get name(): string {
    return this.dialect.quote(this.table.schemaName, this.table.tableName)
  }
}
