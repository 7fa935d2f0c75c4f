import { type Dialect, toRecord } from '../dialects/dialect'
import { quotedColumns, type TableDefinition } from '../dialects/table-definition'
import type { Database } from '../knex/database'
import type { SessionRecord } from '../record/session-record'
import { monotonicNow } from '../runtime/natives'
import { Pace } from '../runtime/pace'
import { type Condition, liveRows, recordColumns, type ScanRange } from './live-rows'

/** The result of one statement of a scan. */
export interface Page<Found> {
  readonly found: Found
  /** The id after which the next statement begins. Undefined if there are no more rows. */
  readonly next: string | undefined
}

/** The maximum number of rows that one statement reads if the database runs in this process. */
const MOST_IN_PART = 5000

/**
 * The statements that read all sessions, page by page in the order of their ids. If the database runs in this process, one statement reads
 * a limited part of the table, even if few rows in this part are alive. Everything else in the process waits for the statement.
 */
export class TableScan {
  private readonly pace = new Pace()

  constructor(
    private readonly db: Database,
    private readonly dialect: Dialect,
    private readonly table: TableDefinition,
    private readonly now: () => number
  ) {}

  /** Returns at most `limit` live rows. */
  async records(range: ScanRange, after: string, limit: number): Promise<Page<SessionRecord[]>> {
    const { found, next } = await this.page(recordColumns(this.dialect, this.table), range, after, limit)
    return { found: found.map(toRecord), next }
  }

  /** Returns the ids of at most `limit` live rows. */
  async ids(range: ScanRange, after: string, limit: number): Promise<Page<string[]>> {
    const { found, next } = await this.page(this.dialect.text(this.columns.id), range, after, limit)
    return { found: found.map(([id]) => id as string), next }
  }

  /** Returns how many rows are alive. */
  async count(range: ScanRange, after: string): Promise<Page<number>> {
    const { sql: condition, bindings } = this.live(range)
    return this.part(after, async (end) => {
      const sql = `SELECT count(*) FROM ${this.name} WHERE ${condition} AND ${this.after(end)} LIMIT 1`
      const rows = await this.select(sql, [...bindings, ...bounds(after, end)])
      return { found: Number(rows[0]?.[0]), next: end ?? undefined }
    })
  }

  private async page(list: string, range: ScanRange, after: string, limit: number): Promise<Page<unknown[][]>> {
    const { id } = this.columns
    const { sql: condition, bindings } = this.live(range)
    return this.part(after, async (end) => {
      const found = await this.select(`SELECT ${list} FROM ${this.name} WHERE ${condition} AND ${this.after(end)} ORDER BY ${id} LIMIT ?`, [
        ...bindings,
        ...bounds(after, end),
        limit
      ])
      return { found, next: found.length === limit ? (found.at(-1)?.[0] as string) : (end ?? undefined) }
    })
  }

  /**
   * Does `search` in the part of the table that follows the given id. The part ends with the id `end`, which is null at the end of the
   * table.
   */
  private async part<Found>(after: string, search: (end: string | null) => Promise<Page<Found>>): Promise<Page<Found>> {
    if (!this.dialect.isInProcess) return search(null)
    const { id } = this.columns
    const rows = this.pace.rows(MOST_IN_PART)
    const begin = monotonicNow()
    const last = await this.select(`SELECT ${id} FROM ${this.name} WHERE ${id} > ? ORDER BY ${id} LIMIT 1 OFFSET ?`, [after, rows - 1])
    const end = (last[0]?.[0] as string | undefined) ?? null
    const page = await search(end)
    if (end !== null) this.pace.took(rows, monotonicNow() - begin)
    return page
  }

  private select(sql: string, bindings: readonly unknown[]): Promise<unknown[][]> {
    return this.dialect.select(this.db, sql, bindings)
  }

  private after(end: string | null): string {
    const { id } = this.columns
    return end === null ? `${id} > ?` : `${id} > ? AND ${id} <= ?`
  }

  private get columns() {
    return quotedColumns(this.table, this.dialect.quote)
  }

  private get name(): string {
    return this.dialect.quote(this.table.schemaName, this.table.tableName)
  }

  private live(range: ScanRange): Condition {
    return liveRows(this.dialect, this.table, range, this.now())
  }
}

function bounds(after: string, end: string | null): string[] {
  return end === null ? [after] : [after, end]
}
