import { createHash } from 'node:crypto'
import { DESTROYED, HOUR_MS, NEVER_PRUNED } from '../../record/expiry-columns'
import type { Dialect, Durability } from '../dialect'
import { quotedColumns, type TableDefinition } from '../table-definition'
import type { Statement } from './prepared-query'

/** A statement in two forms: for one row, and for many. One row needs no list, and costs the server less. */
export interface RowStatement {
  readonly one: Statement
  readonly many: Statement
}

/** How a statement is run. */
export interface RunSettings {
  readonly durability: Durability
  /**
   * Whether writes have a binding for how long they wait for a locked row. It is the last one, except for the moments of {@link
   * SessionSql.putRows}.
   */
  readonly boundsLockWaits: boolean
}

/** Every statement on the sessions table. */
export interface SessionSql {
  readonly loadRows: RowStatement
  readonly insertRows: RowStatement
  readonly putRows: RowStatement
  readonly putLiveRows: RowStatement
  readonly updateRows: RowStatement
  readonly updateRowsWithLife: RowStatement
  readonly touchRows: RowStatement
  readonly removeRows: RowStatement
  readonly pruneRows: Statement
  readonly claimLease: Statement
  readonly putMark: Statement
  readonly loadMark: Statement
}

/**
 * The columns of the given rows `w`, with their types in the database. The large column is last, because the driver's buffer copies its
 * content when it grows.
 */
type GivenColumns = readonly (readonly [name: string, type: string])[]

const PUT_COLUMNS: GivenColumns = [
  ['id', 'text'],
  ['expires_at', 'bigint'],
  ['owner_id', 'text'],
  ['created_at', 'bigint'],
  ['data', 'text']
]
const UPDATE_COLUMNS: GivenColumns = [
  ['id', 'text'],
  ['revision', 'integer'],
  ['expires_at', 'bigint'],
  ['owner_id', 'text'],
  ['data', 'text']
]
const UPDATE_WITH_LIFE_COLUMNS: GivenColumns = [['created_at', 'bigint'], ['is_exact', 'integer'], ...UPDATE_COLUMNS]
/** Stands for the moment of the row in a list of moments. */
export const UNCHANGED = -1

const TOUCH_COLUMNS: GivenColumns = [
  ['id', 'text'],
  ['expires_at', 'bigint']
]

const NOW = '(extract(epoch FROM clock_timestamp()) * 1000)::bigint'
/**
 * Settings that end with the statement. Inside a transaction of the caller they would end with the transaction, so they must not be used
 * there. In a sub-query they are made before the first row is found, at half the cost of a common table expression.
 */
const NO_WAITING_FOR_THE_DISK = "set_config('synchronous_commit', 'off', true)"
/** Milliseconds. 0 means no limit. */
const LOCK_WAIT = "set_config('lock_timeout', ?, true)"

/** What differs between PostgreSQL and its relatives. */
export interface SqlFlavour {
  /** Whether a statement can say how long it waits for a locked row. */
  readonly boundsLockWaits: boolean
  /** Returns the SQL of a division of whole numbers, without a remainder. */
  quotient(dividend: string, divisor: number): string
}

export function sessionSql(
  table: TableDefinition,
  quote: Dialect['quote'],
  prepare: boolean,
  { durability, boundsLockWaits }: RunSettings,
  flavour: SqlFlavour
): SessionSql {
  const name = quote(table.schemaName, table.tableName)
  const { id, data, expiresAt, expiresHour, revision, ownerId, createdAt, lastSeenAt } = quotedColumns(table, quote)
  const statement = (sql: string) => toStatement(sql, prepare)
  const hourAt = (moment: string) => flavour.quotient(`${moment} + ${HOUR_MS - 1}`, HOUR_MS)
  const lockWait = boundsLockWaits ? [LOCK_WAIT] : []
  const settingUp = (keyword: 'WHERE' | 'AND', settings: readonly string[]) =>
    settings.length === 0 ? '' : ` ${keyword} (SELECT ${settings.join(' || ')}) IS NOT NULL`
  // If a server crashes, nobody needs the last touch before that. And waiting for the disk is most of the cost of a touch.
  const ofTouch = durability === 'all' ? lockWait : [NO_WAITING_FOR_THE_DISK, ...lockWait]
  const ofSet = durability === 'none' ? [NO_WAITING_FOR_THE_DISK, ...lockWait] : lockWait
  const rowStatement = (columns: GivenColumns, sql: (rows: string) => string): RowStatement => ({
    one: statement(sql(oneRow(columns))),
    many: statement(sql(manyRows(columns)))
  })
  const idStatement = (sql: (matching: string) => string): RowStatement => ({
    one: statement(sql('= ?')),
    many: statement(sql('= ANY(?::text[])'))
  })

  const selected = [id, data, expiresAt, revision, createdAt, ownerId]
  const loadRows: RowStatement = {
    one: statement(`SELECT ${selected.join(', ')} FROM ${name} WHERE ${id} = ?`),
    // A join is used, because for = ANY the server first makes a map of the pages.
    many: statement(
      `SELECT ${selected.map((column) => `s.${column}`).join(', ')} FROM ${manyRows([['id', 'text']])} JOIN ${name} AS s ON s.${id} = w.id`
    )
  }

  const insert = (rows: string) => `
    INSERT INTO ${name} AS s (${id}, ${data}, ${expiresAt}, ${expiresHour}, ${revision}, ${ownerId}, ${createdAt}, ${lastSeenAt})
    SELECT w.id, w.data, w.expires_at, ${hourAt('w.expires_at')}, 1, w.owner_id, w.created_at, ?::bigint FROM ${rows}${settingUp('WHERE', ofSet)}
    ON CONFLICT (${id})`
  const overwrite = (rows: string, condition = '') => `${insert(rows)} DO UPDATE SET
      ${data} = excluded.${data},
      ${expiresAt} = excluded.${expiresAt},
      ${expiresHour} = excluded.${expiresHour},
      ${revision} = s.${revision} + 1,
      ${ownerId} = excluded.${ownerId},
      ${lastSeenAt} = excluded.${lastSeenAt},
      ${createdAt} = CASE WHEN s.${expiresAt} > ? THEN s.${createdAt} ELSE excluded.${createdAt} END
    ${condition}
    RETURNING ${id}, ${revision}`
  const insertRows = rowStatement(PUT_COLUMNS, (rows) => `${insert(rows)} DO NOTHING`)
  const putRows = rowStatement(PUT_COLUMNS, (rows) => overwrite(rows))
  const putLiveRows = rowStatement(PUT_COLUMNS, (rows) => overwrite(rows, `WHERE s.${expiresAt} > ?`))

  const update = (rows: string, expiry: string, more = '') => `
    UPDATE ${name} AS s SET
      ${data} = w.data,
      ${expiresAt} = ${expiry},
      ${expiresHour} = ${hourAt(expiry)},
      ${revision} = s.${revision} + 1,
      ${ownerId} = w.owner_id,
      ${lastSeenAt} = ?::bigint${more}
      FROM ${rows}
     WHERE s.${id} = w.id AND s.${revision} = w.revision AND s.${expiresAt} > ?${settingUp('AND', ofSet)}
    RETURNING s.${id}`
  const later = `GREATEST(s.${expiresAt}, w.expires_at)`
  const updateRows = rowStatement(UPDATE_COLUMNS, (rows) => update(rows, later))
  const updateRowsWithLife = rowStatement(UPDATE_WITH_LIFE_COLUMNS, (rows) =>
    update(
      rows,
      `CASE WHEN w.is_exact = 1 THEN w.expires_at ELSE ${later} END`,
      `, ${createdAt} = COALESCE(NULLIF(w.created_at, ${UNCHANGED}), s.${createdAt})`
    )
  )

  const touch = (rows: string) => `
    UPDATE ${name} AS s SET ${expiresAt} = ${later}, ${expiresHour} = ${hourAt(later)}, ${lastSeenAt} = ?::bigint FROM ${rows}
     WHERE s.${id} = w.id AND s.${expiresAt} > ?${settingUp('AND', ofTouch)}`
  const touchRows = rowStatement(TOUCH_COLUMNS, touch)

  const removeRows = idStatement(
    (matching) => `
    UPDATE ${name} SET ${data} = '{}', ${expiresAt} = ${DESTROYED}, ${expiresHour} = ?, ${revision} = ${revision} + 1, ${ownerId} = NULL
     WHERE ${id} ${matching} AND ${expiresAt} <> 0${settingUp('AND', lockWait)}`
  )

  // The hour finds candidates by the index, and the exact expiry decides. A row that another process has locked is left to that process.
  const ended = `LEAST(${NOW} - ?::bigint, ?::bigint)`
  const pruneRows = statement(`
    DELETE FROM ${name} WHERE ${id} IN (
      SELECT ${id} FROM ${name}
       WHERE ${expiresHour} <= ${hourAt(ended)} AND ${expiresAt} <= ${ended}
       ORDER BY ${expiresHour} LIMIT ? FOR UPDATE SKIP LOCKED)`)

  const claimLease = statement(`
    INSERT INTO ${name} AS s (${id}, ${data}, ${expiresAt}, ${expiresHour}, ${revision}, ${createdAt}, ${lastSeenAt})
    VALUES (?, '{}', ${DESTROYED}, ${NEVER_PRUNED}, 1, ${NOW} + ?::bigint, 0)
    ON CONFLICT (${id}) DO UPDATE SET ${createdAt} = excluded.${createdAt} WHERE s.${createdAt} <= ${NOW}`)

  // The hour is as exact as its column is, so one more is added.
  const putMark = statement(`
    INSERT INTO ${name} AS s (${id}, ${data}, ${expiresAt}, ${expiresHour}, ${revision}, ${createdAt}, ${lastSeenAt})
    VALUES (?, ?, ${DESTROYED}, ${hourAt(`${NOW} + ?::bigint`)} + 1, 1, ${NOW}, 0)
    ON CONFLICT (${id}) DO UPDATE SET
      ${data} = excluded.${data}, ${expiresHour} = GREATEST(s.${expiresHour}, excluded.${expiresHour}), ${createdAt} = excluded.${createdAt}`)
  const loadMark = statement(`SELECT ${data}, ${NOW} - ${createdAt} FROM ${name} WHERE ${id} = ?`)

  return {
    loadRows,
    insertRows,
    putRows,
    putLiveRows,
    updateRows,
    updateRowsWithLife,
    touchRows,
    removeRows,
    pruneRows,
    claimLease,
    putMark,
    loadMark
  }
}

function toStatement(sql: string, prepare: boolean): Statement {
  let count = 0
  // A name may have two spaces in a row.
  const text = sql.replace(/("[^"]*")|\s+|\?/g, (found, name) => name ?? (found === '?' ? `$${++count}` : ' ')).trim()
  const name = prepare ? `sessions_${createHash('sha256').update(text).digest('hex').slice(0, 16)}` : undefined
  return { sql: text, name }
}

/** One row, from plain parameters. */
function oneRow(columns: GivenColumns): string {
  return `(SELECT ${columns.map(([name, type]) => `?::${type} AS ${name}`).join(', ')}) AS w`
}

/**
 * Many rows, from one array for each column. unnest is in the select list, where it returns one row after the other. FROM unnest(…) would
 * store all rows first.
 */
function manyRows(columns: GivenColumns): string {
  return `(SELECT ${columns.map(([name, type]) => `unnest(?::${type}[]) AS ${name}`).join(', ')}) AS w`
}
