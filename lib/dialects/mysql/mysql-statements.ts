import { createHash } from 'node:crypto'
import type { Database } from '../database'
import type { Dialect, RecordToPut, RecordToTouch, RecordToUpdate, SessionRecord, SessionStatements } from '../dialect'
import { type ColumnNames, quotedColumns, type TableDefinition } from '../table-definition'
import { LONG_TEXT, longText, type Sql, select, TEXT, text, textColumn, textOf, write } from './mysql-connection'

const HOUR = 3_600_000

/** Milliseconds since the epoch. Seconds and fraction apart, because a local time, which NOW() is, comes twice when the clocks go back. */
const NOW = '(UNIX_TIMESTAMP() * 1000 + MICROSECOND(NOW(3)) DIV 1000)'

/**
 * MariaDB and MySQL, by the statements that both have. No UPDATE tells here which rows it changed, so each statement is one whose number of
 * affected rows tells, or is followed by a look.
 *
 * Assignments are written so that they mean the same whether the server makes them one after the other, each seeing those before it, or all
 * at once (MariaDB's SIMULTANEOUS_ASSIGNMENT): a column is never read after it was assigned.
 */
export class MysqlStatements implements SessionStatements {
  private readonly name: string
  private readonly columns: ColumnNames
  /** In a transaction: true once an update missed its row. */
  private snapshotIsOld = false

  constructor(quote: Dialect['quote'], table: TableDefinition) {
    this.name = quote(table.schemaName, table.tableName)
    this.columns = quotedColumns(table, quote)
  }

  async load(db: Database, ids: readonly string[]): Promise<SessionRecord[]> {
    const { id, data, expiresAt, revision, createdAt } = this.columns
    // A transaction reads from a snapshot, which may be older than what its updates see. Reading the row to change it sees the same.
    const lock = this.snapshotIsOld ? ' FOR UPDATE' : ''
    const rows = await select(db, {
      sql: `SELECT ${textColumn(id)}, ${textColumn(data)}, ${expiresAt}, ${revision}, ${createdAt} FROM ${this.name} WHERE ${this.among(ids)}${lock}`,
      bindings: ids.map(text)
    })
    return rows.map(([rowId, rowData, rowExpiresAt, rowRevision, rowCreatedAt]) => ({
      id: textOf(rowId),
      data: textOf(rowData),
      expiresAt: Number(rowExpiresAt),
      revision: Number(rowRevision),
      createdAt: Number(rowCreatedAt)
    }))
  }

  async insert(db: Database, records: readonly RecordToPut[]): Promise<void> {
    const { id } = this.columns
    await write(db, this.insertion(records, { sql: `${id} = ${this.name}.${id}`, bindings: [] }))
  }

  async put(db: Database, records: readonly RecordToPut[], now: number): Promise<number[]> {
    const { data, expiresAt, expiresHour, revision, ownerId, createdAt } = this.columns
    const affected = await write(
      db,
      this.insertion(records, {
        sql: `${data} = VALUES(${data}), ${ownerId} = VALUES(${ownerId}), ${revision} = ${revision} + 1,
  ${createdAt} = IF(${expiresAt} > ?, ${createdAt}, VALUES(${createdAt})),
  ${expiresHour} = VALUES(${expiresHour}), ${expiresAt} = VALUES(${expiresAt})`,
        bindings: [now]
      })
    )
    // An overwritten row always changes, and counts twice.
    if (affected === records.length) return records.map(() => 1)
    const found = await this.look(db, records)
    return records.map((record) => revisionOf(record, found.get(record.id)))
  }

  async putUnlessDead(db: Database, records: readonly RecordToPut[], now: number): Promise<(number | null)[]> {
    const { data, expiresAt, expiresHour, revision, ownerId, createdAt } = this.columns
    const ifAlive = (column: string, value = `VALUES(${column})`) => `${column} = IF(${expiresAt} > ?, ${value}, ${column})`
    await write(
      db,
      this.insertion(records, {
        sql: [
          ifAlive(data),
          ifAlive(ownerId),
          ifAlive(revision, `${revision} + 1`),
          `${createdAt} = ${createdAt}`,
          ifAlive(expiresHour),
          ifAlive(expiresAt)
        ].join(', '),
        bindings: [now, now, now, now, now]
      })
    )
    const found = await this.look(db, records)
    return records.map((record) => {
      const row = found.get(record.id)
      return row === undefined || row.expiresAt <= now ? null : revisionOf(record, row)
    })
  }

  update(db: Database, records: readonly RecordToUpdate[], now: number): Promise<boolean[]> {
    return this.updateEach(db, records, now, (column, value) => `GREATEST(${column}, ${value})`)
  }

  updateWithExpiry(db: Database, records: readonly RecordToUpdate[], now: number): Promise<boolean[]> {
    return this.updateEach(db, records, now, (_, value) => value)
  }

  async touch(db: Database, records: readonly RecordToTouch[], now: number): Promise<number> {
    const expiry = this.expiry(records, (column, value) => `GREATEST(${column}, ${value})`)
    return write(db, {
      sql: `UPDATE ${this.name} FORCE INDEX (PRIMARY) SET ${expiry.sql} WHERE ${this.among(records)} AND ${this.columns.expiresAt} > ?`,
      bindings: [...expiry.bindings, ...records.map(idText), now]
    })
  }

  async remove(db: Database, ids: readonly string[], pruneHour: number): Promise<void> {
    const { data, expiresAt, expiresHour, revision, ownerId } = this.columns
    await write(db, {
      sql: `UPDATE ${this.name} FORCE INDEX (PRIMARY)
SET ${data} = X'', ${expiresAt} = 0, ${expiresHour} = ?, ${revision} = ${revision} + 1, ${ownerId} = NULL
WHERE ${this.among(ids)} AND ${expiresAt} <> 0`,
      bindings: [pruneHour, ...ids.map(text)]
    })
  }

  async prune(db: Database, graceMs: number, limit: number): Promise<number> {
    const { id, expiresAt, expiresHour } = this.columns
    // The hour finds candidates through the index, the exact expiry decides. What another process has locked is left to it.
    return write(db, {
      sql: `DELETE s FROM (
  SELECT ${id} FROM ${this.name} WHERE ${expiresHour} <= (${NOW} - ? + ${HOUR - 1}) DIV ${HOUR} AND ${expiresAt} <= ${NOW} - ?
  ORDER BY ${expiresHour} LIMIT ? FOR UPDATE SKIP LOCKED) AS w STRAIGHT_JOIN ${this.name} AS s ON s.${id} = w.${id}`,
      bindings: [graceMs, graceMs, limit]
    })
  }

  async claim(db: Database, id: string, leaseMs: number): Promise<boolean> {
    const { id: idColumn, data, expiresAt, expiresHour, revision, createdAt } = this.columns
    const renewed = await write(db, {
      sql: `UPDATE ${this.name} SET ${createdAt} = ${NOW} + ? WHERE ${idColumn} = ${TEXT} AND ${createdAt} <= ${NOW}`,
      bindings: [leaseMs, text(id)]
    })
    if (renewed > 0) return true
    // Of all statements that may find the row there, this alone counts 0 for it with every setting of the connection.
    const taken = await write(db, {
      sql: `INSERT IGNORE INTO ${this.name} (${idColumn}, ${data}, ${expiresAt}, ${expiresHour}, ${revision}, ${createdAt})
VALUES (${TEXT}, X'', 0, 2147483647, 1, ${NOW} + ?)`,
      bindings: [text(id), leaseMs]
    })
    return taken > 0
  }

  /**
   * A conditional update. The number of rows that were hit tells all if it is one row, or all rows. Otherwise nothing can tell which they
   * were, for another process may have written the very same: so it is taken back, and done again with the rows locked before.
   */
  private async updateEach(db: Database, records: readonly RecordToUpdate[], now: number, bound: ExpiryBound): Promise<boolean[]> {
    const hits =
      records.length === 1 ? [(await this.updateRows(db, records, now, bound)) === 1] : await this.updateMany(db, records, now, bound)
    if (db.isTransaction && hits.includes(false)) this.snapshotIsOld = true
    return hits
  }

  private async updateMany(db: Database, records: readonly RecordToUpdate[], now: number, bound: ExpiryBound): Promise<boolean[]> {
    try {
      await db.transaction(async (trx) => {
        if ((await this.updateRows(trx, records, now, bound)) < records.length) throw new SomeWereMissed()
      })
      return records.map(() => true)
    } catch (error) {
      if (!(error instanceof SomeWereMissed)) throw error
    }
    return db.transaction(async (trx) => {
      const current = await this.lock(trx, records, now)
      const hits = records.map(({ id, revision }) => current.get(id) === revision)
      const matching = records.filter((_, index) => hits[index])
      if (matching.length > 0) await this.updateRows(trx, matching, now, bound)
      return hits
    })
  }

  /** How many rows were hit. */
  private updateRows(db: Database, records: readonly RecordToUpdate[], now: number, bound: ExpiryBound): Promise<number> {
    const { data, expiresAt, revision, ownerId, id } = this.columns
    const expiry = this.expiry(records, bound)
    const pairs = records.map(() => `(${TEXT}, ?)`).join(', ')
    const newData = this.pick(records, LONG_TEXT, (record) => longText(record.data))
    const owner = this.owners(records)
    return write(db, {
      sql: `UPDATE ${this.name} FORCE INDEX (PRIMARY)
SET ${data} = ${newData.sql}, ${ownerId} = ${owner.sql}, ${revision} = ${revision} + 1, ${expiry.sql}
WHERE (${id}, ${revision}) IN (${pairs}) AND ${expiresAt} > ?`,
      bindings: [
        ...newData.bindings,
        ...owner.bindings,
        ...expiry.bindings,
        ...records.flatMap((record) => [idText(record), record.revision]),
        now
      ]
    })
  }

  /** The revisions of the rows that are alive, until the transaction ends. */
  private async lock(db: Database, records: readonly RecordToUpdate[], now: number): Promise<Map<string, number>> {
    const { id, revision, expiresAt } = this.columns
    const rows = await select(db, {
      sql: `SELECT ${textColumn(id)}, ${revision} FROM ${this.name} FORCE INDEX (PRIMARY) WHERE ${this.among(records)} AND ${expiresAt} > ? FOR UPDATE`,
      bindings: [...records.map(idText), now]
    })
    return new Map(rows.map(([rowId, rowRevision]) => [textOf(rowId), Number(rowRevision)]))
  }

  private insertion(records: readonly RecordToPut[], onDuplicate: Sql): Sql {
    const { id, data, expiresAt, expiresHour, revision, ownerId, createdAt } = this.columns
    const rows = records.map(({ ownerId: owner }) => `(${TEXT}, ${LONG_TEXT}, ?, ?, 1, ${owner === null ? 'NULL' : TEXT}, ?)`)
    // VALUES() and not the newer alias of the row, which MariaDB does not know.
    return {
      sql: `INSERT INTO ${this.name} (${id}, ${data}, ${expiresAt}, ${expiresHour}, ${revision}, ${ownerId}, ${createdAt})
VALUES ${rows.join(', ')} ON DUPLICATE KEY UPDATE ${onDuplicate.sql}`,
      bindings: [
        ...records.flatMap((record) => [
          idText(record),
          longText(record.data),
          record.expiresAt,
          hourOf(record),
          ...(record.ownerId === null ? [] : [text(record.ownerId)]),
          record.createdAt
        ]),
        ...onDuplicate.bindings
      ]
    }
  }

  /** The assignments of a new expiry, a row's own, and of its hour. */
  private expiry(records: readonly RecordToTouch[], bound: ExpiryBound): Sql {
    const { expiresAt, expiresHour } = this.columns
    const hours = records.map(hourOf)
    // Mostly all of a batch end in the same hour.
    const hour = hours.every((value) => value === hours[0])
      ? { sql: '?', bindings: [hours[0]] }
      : this.pickNumber(records, (record) => hourOf(record))
    const moment = this.pickNumber(records, (record) => record.expiresAt)
    return {
      sql: `${expiresHour} = ${bound(expiresHour, hour.sql)}, ${expiresAt} = ${bound(expiresAt, moment.sql)}`,
      bindings: [...hour.bindings, ...moment.bindings]
    }
  }

  private owners(records: readonly RecordToUpdate[]): Sql {
    if (records.every(({ ownerId }) => ownerId === null)) return { sql: 'NULL', bindings: [] }
    if (records.length === 1) return { sql: TEXT, bindings: records.map(({ ownerId }) => text(ownerId as string)) }
    const owners = records.map(({ ownerId }) => (ownerId === null ? 'NULL' : TEXT))
    return {
      sql: `ELT(${this.position(records)}, ${owners.join(', ')})`,
      bindings: [...records.map(idText), ...records.flatMap(({ ownerId }) => (ownerId === null ? [] : [text(ownerId)]))]
    }
  }

  /** The value for the row at hand, by its id. Measured against joining a derived table, of any making, this takes half the time. */
  private pick<T extends { readonly id: string }>(records: readonly T[], placeholder: string, value: (record: T) => unknown): Sql {
    if (records.length === 1) return { sql: placeholder, bindings: records.map(value) }
    return {
      sql: `ELT(${this.position(records)}, ${list(records.length, placeholder)})`,
      bindings: [...records.map(idText), ...records.map(value)]
    }
  }

  private pickNumber<T extends { readonly id: string }>(records: readonly T[], value: (record: T) => number): Sql {
    const picked = this.pick(records, '?', value)
    // ELT gives text, and the greater of two texts is another than that of two numbers.
    return records.length === 1 ? picked : { ...picked, sql: `CAST(${picked.sql} AS SIGNED)` }
  }

  private position(records: readonly unknown[]): string {
    return `FIELD(${this.columns.id}, ${list(records.length, TEXT)})`
  }

  private among(rows: readonly unknown[]): string {
    return `${this.columns.id} IN (${list(rows.length, TEXT)})`
  }

  /** What the rows hold now, with a digest in place of the data. */
  private async look(db: Database, records: readonly { readonly id: string }[]): Promise<Map<string, Glance>> {
    const { id, data, expiresAt, revision } = this.columns
    const rows = await select(db, {
      sql: `SELECT ${textColumn(id)}, ${expiresAt}, ${revision}, ${textColumn(`SHA2(${data}, 256)`)} FROM ${this.name} WHERE ${this.among(records)}`,
      bindings: records.map(idText)
    })
    return new Map(
      rows.map(([rowId, rowExpiresAt, rowRevision, digest]) => [
        textOf(rowId),
        { expiresAt: Number(rowExpiresAt), revision: Number(rowRevision), digest: textOf(digest) }
      ])
    )
  }
}

/** Takes an update back. */
class SomeWereMissed extends Error {}

/** What becomes of a column, given the column and the new value. */
type ExpiryBound = (column: string, value: string) => string

interface Glance {
  readonly expiresAt: number
  readonly revision: number
  readonly digest: string
}

/**
 * The revision at which the row holds what was put. Another process may have changed it since: then 0, at which no row ever is, so that the
 * next write of this session looks before it overwrites.
 */
function revisionOf({ data }: RecordToPut, row: Glance | undefined): number {
  return row?.digest === digestOf(data) ? row.revision : 0
}

function digestOf(data: string): string {
  return createHash('sha256').update(data).digest('hex')
}

function idText({ id }: { readonly id: string }): string | Buffer {
  return text(id)
}

function hourOf({ expiresAt }: { readonly expiresAt: number }): number {
  return Math.ceil(expiresAt / HOUR)
}

function list(length: number, item: string): string {
  return length === 1 ? item : `${`${item}, `.repeat(length - 1)}${item}`
}
