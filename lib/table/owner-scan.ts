import { type Dialect, toRecord } from '../dialects/dialect'
import { quotedColumns, type TableDefinition } from '../dialects/table-definition'
import type { Database } from '../knex/database'
import type { SessionRecord } from '../record/session-record'
import { PREFIX_END } from '../record/stored-id'
import { type Condition, liveRows, recordColumns, type ScanRange } from './live-rows'
import type { Page } from './table-scan'

/** A live row of an owner. */
export interface OwnedRecord extends SessionRecord {
  /** When it was last written or touched, in milliseconds since the epoch. */
  readonly lastSeenAt: number
}

/** The place of a row in the list of its owner's rows, which begins with the newest. */
export type OwnedPlace = Pick<SessionRecord, 'id' | 'createdAt'>

/** The number of live rows of an owner. */
export interface OwnerCount {
  readonly ownerId: string
  readonly count: number
}

/** The number of live rows whose id begins with a prefix. */
export interface PrefixCount {
  /** Ends with a colon, or is `''`. */
  readonly prefix: string
  readonly count: number
}

/** The maximum number of owners that one statement returns. */
const OWNERS_AT_ONCE = 1000

/**
 * About how many rows one statement reads if the database runs in this process. Everything else in the process waits for such a statement.
 */
const ROWS_IN_PART = 1000

/** The statements on the live rows of owners. They use the index of owners. */
export class OwnerScan {
  constructor(
    private readonly db: Database,
    private readonly dialect: Dialect,
    private readonly table: TableDefinition,
    private readonly now: () => number
  ) {}

  /** Returns at most `limit` rows after the given place, the newest first. */
  async records(range: ScanRange, ownerId: string, after: OwnedPlace | undefined, limit: number): Promise<OwnedRecord[]> {
    const list = `${recordColumns(this.dialect, this.table)}, ${this.columns.lastSeenAt}`
    const rows = await this.page(list, range, ownerId, after, limit)
    return rows.map((row) => ({ ...toRecord(row), lastSeenAt: Number(row[6]) }))
  }

  /** Returns the places of at most `limit` rows, the newest first. */
  async places(range: ScanRange, ownerId: string, after: OwnedPlace | undefined, limit: number): Promise<OwnedPlace[]> {
    const { id, createdAt } = this.columns
    const rows = await this.page(`${this.dialect.text(id)}, ${createdAt}`, range, ownerId, after, limit)
    return rows.map(([storedId, moment]) => ({ id: storedId as string, createdAt: Number(moment) }))
  }

  /** Returns the number of live rows of the owner. */
  async count(range: ScanRange, ownerId: string): Promise<number> {
    const { sql, bindings } = this.ofOwner(range, ownerId)
    const rows = await this.dialect.select(this.db, `SELECT count(*) FROM ${this.name} WHERE ${sql} LIMIT 1`, bindings)
    return Number(rows[0]?.[0])
  }

  /** Returns how many of the owner's newest live rows are outside of the range, by the prefix of their ids. */
  async outOfRange({ prefix, idLength }: ScanRange, ownerId: string): Promise<PrefixCount[]> {
    const { id, expiresAt, createdAt } = this.columns
    const sql = `SELECT ${this.dialect.text(id)} FROM ${this.name} WHERE ${this.columns.ownerId} = ? AND ${expiresAt} > ?
      ORDER BY ${createdAt} DESC LIMIT ?`
    const rows = await this.dialect.select(this.db, sql, [ownerId, this.now(), ROWS_IN_PART])
    const counts = new Map<string, number>()
    for (const stored of rows.map(([stored]) => stored as string)) {
      const own = idLength === undefined ? !stored.slice(prefix.length).includes(PREFIX_END) : [...stored].length === idLength
      if (stored.startsWith(prefix) && own) continue
      const other = stored.slice(0, stored.lastIndexOf(PREFIX_END) + 1)
      counts.set(other, (counts.get(other) ?? 0) + 1)
    }
    return [...counts].map(([prefix, count]) => ({ prefix, count }))
  }

  /** Returns the number of live rows of each owner, for a page of owners after the given one, in the order of owners. */
  async counts(range: ScanRange, after: string): Promise<Page<OwnerCount[]>> {
    const { ownerId } = this.columns
    const live = liveRows(this.dialect, this.table, range, this.now())
    const end = this.dialect.isInProcess ? await this.ownerAfter(after, ROWS_IN_PART) : undefined
    const part = end === undefined ? `${ownerId} > ?` : `${ownerId} > ? AND ${ownerId} <= ?`
    const rows = await this.dialect.select(
      this.db,
      `SELECT ${this.dialect.text(ownerId)}, count(*) FROM ${this.name} WHERE ${part} AND ${live.sql} GROUP BY ${ownerId} ORDER BY ${ownerId} LIMIT ?`,
      [after, ...(end === undefined ? [] : [end]), ...live.bindings, OWNERS_AT_ONCE]
    )
    const found = rows.map(([owner, count]) => ({ ownerId: owner as string, count: Number(count) }))
    return { found, next: found.length === OWNERS_AT_ONCE ? found.at(-1)?.ownerId : end }
  }

  /** Returns the owner of the row that comes so many rows later in the order of owners. */
  private async ownerAfter(after: string, rows: number): Promise<string | undefined> {
    const { ownerId } = this.columns
    const sql = `SELECT ${ownerId} FROM ${this.name} WHERE ${ownerId} > ? ORDER BY ${ownerId} LIMIT 1 OFFSET ?`
    const [last] = await this.dialect.select(this.db, sql, [after, rows])
    return last?.[0] as string | undefined
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
