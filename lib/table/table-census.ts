import type { Dialect } from '../dialects/dialect'
import { quotedColumns, type TableDefinition } from '../dialects/table-definition'
import type { Database } from '../knex/database'
import { DESTROYED, HOUR_MS, hourOf } from '../record/expiry-columns'
import { OWN_ROWS } from '../record/stored-id'
import type { Page } from './table-scan'

/** The number of sessions by their state. */
export interface Census {
  /** Live sessions. */
  readonly live: number
  /** Expired sessions whose rows the pruner has not deleted yet. */
  readonly expired: number
  /** Destroyed sessions whose rows the pruner has not deleted yet. */
  readonly ended: number
  /** Expired and destroyed sessions whose rows a pruner should have deleted long ago. */
  readonly overdue: number
  /** When the oldest live session began, in milliseconds since the epoch; undefined if there is none. */
  readonly oldest: number | undefined
}

export const EMPTY_CENSUS: Census = { live: 0, expired: 0, ended: 0, overdue: 0, oldest: undefined }

/** Adds two parts of a census. */
export function addCensus(some: Census, others: Census): Census {
  const begins = [some.oldest, others.oldest].filter((moment) => moment !== undefined)
  return {
    live: some.live + others.live,
    expired: some.expired + others.expired,
    ended: some.ended + others.ended,
    overdue: some.overdue + others.overdue,
    oldest: begins.length === 0 ? undefined : Math.min(...begins)
  }
}

/** The rows that are counted, and the moment that tells which of them are alive. */
interface CensusRange {
  /** The beginning of the ids; `''` for all rows. */
  readonly prefix: string
  readonly now: number
}

/** How many rows one statement reads. The number is small, so that the statement is short and holds its locks for a short time. */
const ROWS = 10_000
/**
 * How many hours after its end a row counts as overdue. By default, processes prune every quarter of an hour and a row is kept for ten
 * minutes after its end. The column of the hour is rounded up.
 */
const OVERDUE_HOURS = 3

/** A row that was moved, or that stops a move, has this hour or an earlier one from the beginning. So the hour does not tell its age. */
const FIRST_HOUR = 1

/** Counts rows after the given id. */
export async function takeCensus(
  db: Database,
  dialect: Dialect,
  table: TableDefinition,
  { prefix, now }: CensusRange,
  after: string
): Promise<Page<Census>> {
  const { id, expiresAt, expiresHour, createdAt } = quotedColumns(table, dialect.quote)
  const name = dialect.quote(table.schemaName, table.tableName)
  const bindings: unknown[] = []
  const inRange = () => {
    bindings.push(OWN_ROWS.length, OWN_ROWS)
    const isSession = `substr(${id}, 1, ?) <> ?`
    if (prefix === '') return isSession
    bindings.push([...prefix].length, prefix)
    return `${isSession} AND substr(${id}, 1, ?) = ?`
  }
  const counted = (condition: string, ...moments: readonly number[]) => {
    const range = inRange()
    bindings.push(...moments)
    return `sum(CASE WHEN ${range} AND ${condition} THEN 1 ELSE 0 END)`
  }
  const list = [
    'count(*)',
    dialect.text(`max(${id})`),
    counted(`${expiresAt} > ?`, now),
    counted(`${expiresAt} > 0 AND ${expiresAt} <= ?`, now),
    counted(`${expiresAt} <= 0`),
    counted(`${expiresHour} > ${FIRST_HOUR} AND ${expiresHour} <= ?`, hourOf(now) - OVERDUE_HOURS)
  ]
  const range = inRange()
  list.push(`min(CASE WHEN ${range} AND ${expiresAt} > ? THEN ${createdAt} END)`)
  bindings.push(now, after, ROWS)
  const part = `SELECT ${id}, ${expiresAt}, ${expiresHour}, ${createdAt} FROM ${name} WHERE ${id} > ? ORDER BY ${id} LIMIT ?`
  const [row = []] = await dialect.select(db, `SELECT ${list.join(', ')} FROM (${part}) AS part LIMIT 1`, bindings)
  const [rows, last, live, expired, ended, overdue, oldest] = row
  return {
    found: {
      live: Number(live),
      expired: Number(expired),
      ended: Number(ended),
      overdue: Number(overdue),
      oldest: oldest === null ? undefined : Number(oldest)
    },
    next: Number(rows) < ROWS ? undefined : String(last)
  }
}

/** Returns how many rows ended at that moment or before. Uses the index of the hours. */
export async function countPrunable(db: Database, dialect: Dialect, table: TableDefinition, endedAt: number): Promise<number> {
  const { expiresAt, expiresHour } = quotedColumns(table, dialect.quote)
  const name = dialect.quote(table.schemaName, table.tableName)
  const sql = `SELECT count(*) FROM ${name} WHERE ${expiresHour} <= ? AND ${expiresAt} <= ? LIMIT 1`
  const [[count] = []] = await dialect.select(db, sql, [hourOf(endedAt), endedAt])
  return Number(count)
}

/** Rows of ended sessions that must not be deleted yet. */
export interface Waiting {
  readonly rows: number
  /** When the last of these rows can be deleted. Undefined if there are none. */
  readonly until: number | undefined
}

/** Counts the dead rows that ended after `endedAt`. Uses the index of the hours. */
export async function countWaiting(
  db: Database,
  dialect: Dialect,
  table: TableDefinition,
  { now, endedAt }: { readonly now: number; readonly endedAt: number }
): Promise<Waiting> {
  const { id, expiresAt, expiresHour } = quotedColumns(table, dialect.quote)
  const name = dialect.quote(table.schemaName, table.tableName)
  const destroyedHour = `max(CASE WHEN ${expiresAt} = ${DESTROYED} THEN ${expiresHour} END)`
  const sql = `SELECT count(*), max(${expiresAt}), ${destroyedHour} FROM ${name}
    WHERE ${expiresHour} <= ? AND ${expiresAt} <= ? AND (${expiresHour} > ? OR ${expiresAt} > ?) AND substr(${id}, 1, ?) <> ? LIMIT 1`
  // No dead row has a later hour than the row of a session that was destroyed just now.
  const latestHour = hourOf(now + (now - endedAt)) + 1
  const bindings = [latestHour, now, hourOf(endedAt), endedAt, OWN_ROWS.length, OWN_ROWS]
  const [[rows, latest, hour] = []] = await dialect.select(db, sql, bindings)
  if (Number(rows) === 0) return { rows: 0, until: undefined }
  // The column of the hour is rounded up.
  const ended = Math.max(Number(latest), (Number(hour ?? 0) - 1) * HOUR_MS)
  return { rows: Number(rows), until: ended + (now - endedAt) }
}
