import { DESTROYED, HOUR_MS, hourOf, NEVER_PRUNED } from '../../record/expiry-columns'
import type { RecordToPut, RecordToTouch, RecordToUpdate, RecordToUpdateWithLife } from '../../record/session-record'
import type { Dialect } from '../dialect'
import { type ColumnNames, quotedColumns, type TableDefinition } from '../table-definition'
import { byFrequency, limit, list } from './lists'
import { longText, type Sql, TEXT, text, textColumn } from './mysql-connection'

/** From so many different numbers on, the numbers are picked by the place of the row. */
const MANY_NUMBERS = 8

/**
 * Milliseconds since the epoch. Seconds and fraction are read apart, because NOW() is a local time, and a local time comes twice when the
 * clocks go back.
 */
const NOW = '(UNIX_TIMESTAMP() * 1000 + MICROSECOND(NOW(3)) DIV 1000)'

/** Returns the SQL of a column's next value, given the column and the new value. */
export type ExpiryBound = (column: string, value: string) => string

/** The later expiry stays. */
export const later: ExpiryBound = (column, value) => `GREATEST(${column}, ${value})`

/** The given expiry replaces the old one. */
export const exactly: ExpiryBound = (_, value) => value

type Row = { readonly id: string }

/** An update of either kind. */
export type RowUpdate = RecordToUpdate & Partial<Pick<RecordToUpdateWithLife, 'createdAt'>>

/**
 * Lets a statement have as many rows as it needs, even if the application's settings limit it (sql_safe_updates, max_join_size). MariaDB
 * reads the text before the statement, and MySQL reads the hint in it. Each server takes the other one for a comment.
 */
const OF_MANY_ROWS = {
  statement: '/*M! SET STATEMENT sql_safe_updates = 0, sql_big_selects = 1 FOR */',
  hint: '/*+ SET_VAR(sql_safe_updates = 0) SET_VAR(sql_big_selects = 1) */'
}

/**
 * The statements on the sessions table, in SQL that both servers have.
 *
 * A server may make assignments one after the other, each seeing the ones before it, or all at once (MariaDB's SIMULTANEOUS_ASSIGNMENT).
 * They mean the same in both cases, because no column is read after it was assigned. FORCE INDEX is there because the server prefers a scan
 * in a small table, and a scan would lock every row that it passes.
 */
export class MysqlSql {
  private readonly name: string
  private readonly columns: ColumnNames

  constructor(quote: Dialect['quote'], table: TableDefinition) {
    this.name = quote(table.schemaName, table.tableName)
    this.columns = quotedColumns(table, quote)
  }

  load(ids: readonly string[], lock: boolean): Sql {
    const { id, data, expiresAt, revision, createdAt, ownerId } = this.columns
    const selected = `${textColumn(id)}, ${textColumn(data)}, ${expiresAt}, ${revision}, ${createdAt}, ${textColumn(ownerId)}`
    return {
      sql: `SELECT ${selected} FROM ${this.name} WHERE ${this.among(ids)} ${limit(ids)}${lock ? ' FOR UPDATE' : ''}`,
      bindings: ids.map(text)
    }
  }

  /** Id, expiry, revision and a digest of the data. */
  glance(rows: readonly Row[]): Sql {
    const { id, data, expiresAt, revision } = this.columns
    return {
      sql: `SELECT ${textColumn(id)}, ${expiresAt}, ${revision}, ${textColumn(`SHA2(${data}, 256)`)} FROM ${this.name} WHERE ${this.among(rows)} ${limit(rows)}`,
      bindings: rows.map(idText)
    }
  }

  /** Selects id and revision of the live rows, and locks these rows until the transaction ends. */
  lock(rows: readonly Row[], now: number): Sql {
    const { id, revision, expiresAt } = this.columns
    return {
      sql: `${OF_MANY_ROWS.statement} SELECT ${OF_MANY_ROWS.hint} ${textColumn(id)}, ${revision} FROM ${this.name} FORCE INDEX (PRIMARY)
WHERE ${this.among(rows)} AND ${expiresAt} > ? ${limit(rows)} FOR UPDATE`,
      bindings: [...rows.map(idText), now]
    }
  }

  insert(records: readonly RecordToPut[], now: number): Sql {
    const { id } = this.columns
    return this.insertion(records, now, { sql: `${id} = ${this.name}.${id}`, bindings: [] })
  }

  /** With `tellRevision`, the response has the new revision as its insertId, if the row existed. */
  put(records: readonly RecordToPut[], now: number, tellRevision: boolean): Sql {
    const { data, expiresAt, expiresHour, revision, ownerId, createdAt, lastSeenAt } = this.columns
    const next = `${revision} + 1`
    return this.insertion(records, now, {
      sql: `${data} = VALUES(${data}), ${ownerId} = VALUES(${ownerId}), ${revision} = ${tellRevision ? `LAST_INSERT_ID(${next})` : next},
  ${createdAt} = IF(${expiresAt} > ?, ${createdAt}, VALUES(${createdAt})), ${lastSeenAt} = VALUES(${lastSeenAt}),
  ${expiresHour} = VALUES(${expiresHour}), ${expiresAt} = VALUES(${expiresAt})`,
      bindings: [now]
    })
  }

  /** The same for live rows. With `tellRevision`, the response also has the revision of a dead row. */
  putUnlessDead(records: readonly RecordToPut[], now: number, tellRevision: boolean): Sql {
    const { data, expiresAt, expiresHour, revision, ownerId, lastSeenAt } = this.columns
    const ifAlive = (column: string, value = `VALUES(${column})`) => `IF(${expiresAt} > ?, ${value}, ${column})`
    const next = ifAlive(revision, `${revision} + 1`)
    return this.insertion(records, now, {
      sql: `${data} = ${ifAlive(data)}, ${ownerId} = ${ifAlive(ownerId)}, ${revision} = ${tellRevision ? `LAST_INSERT_ID(${next})` : next},
  ${lastSeenAt} = ${ifAlive(lastSeenAt)}, ${expiresHour} = ${ifAlive(expiresHour)}, ${expiresAt} = ${ifAlive(expiresAt)}`,
      bindings: [now, now, now, now, now, now]
    })
  }

  /** The condition also has the ids alone. With pairs only, MariaDB does not use the index: it reads all rows, and locks them all. */
  update(records: readonly RowUpdate[], now: number, bound: ExpiryBound): Sql {
    const { data, expiresAt, revision, ownerId, id } = this.columns
    const expiry = this.renewal(records, now, bound)
    const newData = this.pick(records, (record) => longText(record.data))
    const owner = this.owners(records)
    const beginning = this.beginnings(records)
    return {
      sql: `UPDATE ${this.name} FORCE INDEX (PRIMARY)
SET ${data} = ${newData.sql}, ${ownerId} = ${owner.sql}, ${revision} = ${revision} + 1, ${beginning.sql}${expiry.sql}
WHERE ${this.among(records)} AND (${id}, ${revision}) IN (${list(records.length, `(${TEXT}, ?)`)}) AND ${expiresAt} > ?`,
      bindings: [
        ...newData.bindings,
        ...owner.bindings,
        ...beginning.bindings,
        ...expiry.bindings,
        ...records.map(idText),
        ...records.flatMap((record) => [idText(record), record.revision]),
        now
      ]
    }
  }

  touch(records: readonly RecordToTouch[], now: number): Sql {
    const expiry = this.renewal(records, now, later)
    return {
      sql: `UPDATE ${this.name} FORCE INDEX (PRIMARY) SET ${expiry.sql} WHERE ${this.among(records)} AND ${this.columns.expiresAt} > ?`,
      bindings: [...expiry.bindings, ...records.map(idText), now]
    }
  }

  remove(ids: readonly string[], pruneHour: number): Sql {
    const { data, expiresAt, expiresHour, revision, ownerId } = this.columns
    return {
      sql: `UPDATE ${this.name} FORCE INDEX (PRIMARY)
SET ${data} = '{}', ${expiresAt} = ${DESTROYED}, ${expiresHour} = ?, ${revision} = ${revision} + 1, ${ownerId} = NULL
WHERE ${this.among(ids)} AND ${expiresAt} <> 0`,
      bindings: [pruneHour, ...ids.map(text)]
    }
  }

  /**
   * The hour finds candidates by the index, and the exact expiry decides. A row that another process has locked is left to that process.
   */
  prune(graceMs: number, limit: number, now: number): Sql {
    const { id, expiresAt, expiresHour } = this.columns
    const ended = `LEAST(${NOW} - ?, ?)`
    // A clock in 1970 would give a negative number, and an unsigned number cannot be compared with it.
    const endedBindings = [graceMs, Math.max(0, now - graceMs)]
    return {
      sql: `${OF_MANY_ROWS.statement} DELETE ${OF_MANY_ROWS.hint} s FROM (
  SELECT ${id} FROM ${this.name} WHERE ${expiresHour} <= (${ended} + ${HOUR_MS - 1}) DIV ${HOUR_MS} AND ${expiresAt} <= ${ended}
  ORDER BY ${expiresHour} LIMIT ? FOR UPDATE SKIP LOCKED) AS w STRAIGHT_JOIN ${this.name} AS s ON s.${id} = w.${id}`,
      bindings: [...endedBindings, ...endedBindings, limit]
    }
  }

  renewLease(lease: string, leaseMs: number): Sql {
    const { id, createdAt } = this.columns
    return {
      sql: `UPDATE ${this.name} SET ${createdAt} = ${NOW} + ? WHERE ${id} = ${TEXT} AND ${createdAt} <= ${NOW}`,
      bindings: [leaseMs, text(lease)]
    }
  }

  /** IGNORE: of all statements that may find the row, only this one counts 0 for it under every setting of the connection. */
  takeLease(lease: string, leaseMs: number): Sql {
    const { id, data, expiresAt, expiresHour, revision, createdAt, lastSeenAt } = this.columns
    return {
      sql: `INSERT IGNORE INTO ${this.name} (${id}, ${data}, ${expiresAt}, ${expiresHour}, ${revision}, ${createdAt}, ${lastSeenAt})
VALUES (${TEXT}, '{}', ${DESTROYED}, ${NEVER_PRUNED}, 1, ${NOW} + ?, 0)`,
      bindings: [text(lease), leaseMs]
    }
  }

  /** The hour is as exact as its column is, so one more is added. */
  putMark(mark: string, json: string, graceMs: number): Sql {
    const { id, data, expiresAt, expiresHour, revision, createdAt, lastSeenAt } = this.columns
    const sql = `INSERT INTO ${this.name} (${id}, ${data}, ${expiresAt}, ${expiresHour}, ${revision}, ${createdAt}, ${lastSeenAt})
VALUES (${TEXT}, ?, ${DESTROYED}, (${NOW} + ? + ${HOUR_MS - 1}) DIV ${HOUR_MS} + 1, 1, ${NOW}, 0)
ON DUPLICATE KEY UPDATE ${data} = VALUES(${data}), ${expiresHour} = GREATEST(${expiresHour}, VALUES(${expiresHour})), ${createdAt} = VALUES(${createdAt})`
    return { sql, bindings: [text(mark), longText(json), graceMs] }
  }

  loadMark(mark: string): Sql {
    const { id, data, createdAt } = this.columns
    const sql = `SELECT ${textColumn(data)}, CAST(${NOW} AS SIGNED) - ${createdAt} FROM ${this.name} WHERE ${id} = ${TEXT} LIMIT 1`
    return { sql, bindings: [text(mark)] }
  }

  private insertion(records: readonly RecordToPut[], now: number, onDuplicate: Sql): Sql {
    const { id, data, expiresAt, expiresHour, revision, ownerId, createdAt, lastSeenAt } = this.columns
    const rows = records.map(({ ownerId: owner }) => `(${TEXT}, ?, ?, ?, 1, ${owner === null ? 'NULL' : TEXT}, ?, ?)`)
    // Uses VALUES(), because MariaDB does not know the newer alias of the row.
    return {
      sql: `INSERT INTO ${this.name} (${id}, ${data}, ${expiresAt}, ${expiresHour}, ${revision}, ${ownerId}, ${createdAt}, ${lastSeenAt})
VALUES ${rows.join(', ')} ON DUPLICATE KEY UPDATE ${onDuplicate.sql}`,
      bindings: [
        ...records.flatMap((record) => [
          idText(record),
          longText(record.data),
          record.expiresAt,
          hourOf(record.expiresAt),
          ...(record.ownerId === null ? [] : [text(record.ownerId)]),
          record.createdAt,
          now
        ]),
        ...onDuplicate.bindings
      ]
    }
  }

  /** Assigns the new expiry of each row, the hour of the expiry, and when the session was seen. */
  private renewal(records: readonly RecordToTouch[], now: number, bound: ExpiryBound): Sql {
    const { expiresAt, expiresHour, lastSeenAt } = this.columns
    const hour = this.pickNumber(records, (record) => hourOf(record.expiresAt))
    const moment = this.pickNumber(records, (record) => record.expiresAt)
    return {
      sql: `${lastSeenAt} = ?, ${expiresHour} = ${bound(expiresHour, hour.sql)}, ${expiresAt} = ${bound(expiresAt, moment.sql)}`,
      bindings: [now, ...hour.bindings, ...moment.bindings]
    }
  }

  private beginnings(records: readonly RowUpdate[]): Sql {
    const { createdAt } = this.columns
    if (records.every((record) => (record.createdAt ?? null) === null)) return { sql: '', bindings: [] }
    const picked = this.pick(records, (record) => record.createdAt ?? null)
    return { sql: `${createdAt} = IFNULL(${picked.sql}, ${createdAt}), `, bindings: picked.bindings }
  }

  private owners(records: readonly RecordToUpdate[]): Sql {
    const given = records.flatMap(({ ownerId }) => (ownerId === null ? [] : [text(ownerId)]))
    if (given.length === 0) return { sql: 'NULL', bindings: [] }
    if (records.length === 1) return { sql: TEXT, bindings: given }
    const owners = records.map(({ ownerId }) => (ownerId === null ? 'NULL' : TEXT))
    return { sql: `ELT(${this.position(records)}, ${owners.join(', ')})`, bindings: [...records.map(idText), ...given] }
  }

  /**
   * Picks the value of the current row by its id. This takes half the time of a join with a derived table, whatever the form of that table.
   */
  private pick<T extends Row>(records: readonly T[], value: (record: T) => unknown): Sql {
    if (records.length === 1) return { sql: '?', bindings: records.map(value) }
    return {
      sql: `ELT(${this.position(records)}, ${list(records.length, '?')})`,
      bindings: [...records.map(idText), ...records.map(value)]
    }
  }

  /**
   * The same for a number. The sessions of one batch mostly end at one of a few moments. So each number except the most frequent one names
   * its rows. The server finds a row among these names by a search in order. To find the place of a row, it would compare the row with one
   * id after the other.
   */
  private pickNumber<T extends Row>(records: readonly T[], value: (record: T) => number): Sql {
    const [[frequent], ...others] = byFrequency(records, value) as [[number, T[]], ...[number, T[]][]]
    if (others.length === 0) return { sql: '?', bindings: [frequent] }
    if (others.length >= MANY_NUMBERS) {
      const picked = this.pick(records, value)
      // ELT gives text, and GREATEST of two texts is not GREATEST of two numbers.
      return { ...picked, sql: `CAST(${picked.sql} AS SIGNED)` }
    }
    const cases = others.map(([, rows]) => `WHEN ${this.among(rows)} THEN ?`)
    return {
      sql: `CASE ${cases.join(' ')} ELSE ? END`,
      bindings: [...others.flatMap(([number, rows]) => [...rows.map(idText), number]), frequent]
    }
  }

  private position(rows: readonly unknown[]): string {
    return `FIELD(${this.columns.id}, ${list(rows.length, TEXT)})`
  }

  private among(rows: readonly unknown[]): string {
    return `${this.columns.id} IN (${list(rows.length, TEXT)})`
  }
}

function idText({ id }: Row): string | Buffer {
  return text(id)
}
