import type { Dialect, ForeignOrder } from '../dialects/dialect'
import { DEFAULT_COLUMNS, displayName, LAYOUT_VERSION, type TableDefinition } from '../dialects/table-definition'
import { explainDriverError } from '../dialects/wrap-driver-error'
import { InvalidOptionError } from '../errors'
import type { Database } from '../knex/database'
import { LATEST_EXPIRY } from '../record/expiry-columns'
import type { Source } from './sources'

/** A session in the table of another store. */
export interface ForeignRow {
  /** Undefined if the bytes in the column are not valid text in its character set. */
  readonly id: string | undefined
  /** The session, as JSON. */
  readonly data: string
  /** In milliseconds since the epoch. Undefined if the column holds no time. */
  readonly expiresAt: number | undefined
}

/** Rows of the other table, and where the next page begins. */
export interface ForeignPage {
  readonly rows: readonly ForeignRow[]
  /** The place of the last row on this page. The next page begins after it. Undefined if there are no more rows. */
  readonly next: readonly unknown[] | undefined
}

/** Reads the table of another store. */
export class SourceTable {
  private readonly definition: TableDefinition
  private order: ForeignOrder | undefined

  constructor(
    private readonly db: Database,
    private readonly dialect: Dialect,
    private readonly source: Source
  ) {
    const { tableName, schemaName, columns } = source
    this.definition = { tableName, schemaName, version: LAYOUT_VERSION, columns: { ...DEFAULT_COLUMNS, id: columns.id } }
  }

  /** @throws {InvalidOptionError} if the table or one of its columns is not there */
  async requireColumns(): Promise<void> {
    const { from, columns, tableName } = this.source
    const found = await this.run(() => this.dialect.describe(this.db, this.definition))
    const advice = `. Say where it is (fromTable, fromSchema, fromColumns), or from which store it is (from)`
    if (found === null) throw new InvalidOptionError('fromTable', `the table of ${from}`, tableName, `, which is not there${advice}`)
    for (const [key, name] of Object.entries(columns)) {
      if (found.columns.some((column) => this.dialect.isSameColumn(column.name, name))) continue
      const names = found.columns.map((column) => column.name).join(', ')
      throw new InvalidOptionError(
        `fromColumns.${key}`,
        `a column of ${displayName(this.definition)}`,
        name,
        `; its columns are ${names}${advice}`
      )
    }
  }

  /** Returns the number of all rows, and the number of rows without an id. Rows without an id are on no page. */
  async count(): Promise<{ total: number; withoutId: number }> {
    const [[total, withId] = []] = await this.select(`SELECT count(*), count(${this.column('id')}) FROM ${this.name} LIMIT 1`, [])
    return { total: Number(total), withoutId: Number(total) - Number(withId) }
  }

  /** Returns rows in the order of their ids, beginning after the given place. */
  async page(after: readonly unknown[] | undefined, limit: number): Promise<ForeignPage> {
    const { dialect } = this
    const id = this.column('id')
    this.order ??= await this.run(() => dialect.foreignOrder(this.db, this.name, id))
    const list = [dialect.foreignText(id), dialect.foreignText(this.column('data')), this.expiry(), ...this.order.place].join(', ')
    const condition = after === undefined ? { sql: `${id} IS NOT NULL`, bindings: [] } : this.order.after(after)
    const sql = `SELECT ${list} FROM ${this.name} WHERE ${condition.sql} ORDER BY ${id} LIMIT ?`
    const found = await this.select(sql, [...condition.bindings, limit])
    const next = found.length < limit ? undefined : found.at(-1)?.slice(3)
    if (next !== undefined && String(next) === String(after)) throw this.notExact()
    const rows = found.map(([text, json, expiry]) => ({
      id: text === null ? undefined : String(text),
      data: String(json),
      expiresAt: this.expiresAt(expiry)
    }))
    return { rows, next }
  }

  /** An id that is a fraction may be compared as another number than it is printed. Then the next page would be the same page again. */
  private notExact(): InvalidOptionError {
    const { columns } = this.source
    return new InvalidOptionError('fromColumns.id', 'a column of texts or of whole numbers', columns.id, ', which holds other values')
  }

  private column(key: keyof Source['columns']): string {
    return this.dialect.quote(this.source.columns[key])
  }

  private expiry(): string {
    const column = this.column('expires')
    switch (this.source.expiry) {
      case 'seconds':
      case 'milliseconds':
        return this.dialect.foreignText(column)
      case 'moment of the connection':
        return this.dialect.epochMs(column, 'of the connection')
      case 'moment of a new connection':
        return this.dialect.epochMs(column, 'of a new connection')
    }
  }

  private expiresAt(expiry: unknown): number | undefined {
    const moment = expiry === null || expiry === '' ? Number.NaN : Number(expiry) * (this.source.expiry === 'seconds' ? 1000 : 1)
    return Number.isNaN(moment) ? undefined : Math.floor(Math.min(moment, LATEST_EXPIRY))
  }

  private select(sql: string, bindings: readonly unknown[]): Promise<unknown[][]> {
    return this.run(() => this.dialect.select(this.db, sql, bindings))
  }

  private async run<T>(statement: () => Promise<T>): Promise<T> {
    try {
      return await statement()
    } catch (error) {
      throw await explainDriverError(this.dialect, error, 'import', this.db, this.definition)
    }
  }

  private get name(): string {
    return this.dialect.quote(this.source.schemaName, this.source.tableName)
  }
}
