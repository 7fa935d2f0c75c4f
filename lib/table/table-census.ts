import type { Dialect } from '../dialects/dialect'
import { quotedColumns, type TableDefinition } from '../dialects/table-definition'
import type { Database } from '../knex/database'
import { DESTROYED, HOUR_MS, hourOf } from '../record/expiry-columns'
import { OWN_ROWS } from '../record/stored-id'
import type { Page } from './table-scan'

/** How many rows are what. */
export interface Census {
  /** Live sessions. */
  readonly live: number
  /** Sessions that have expired; their rows wait for the pruner. */
  readonly expired: number
  /** Sessions that were destroyed; their rows wait for the pruner too. */
  readonly ended: number
  /** Of both, those that a pruner should have deleted long ago. */
  readonly overdue: number
  /** When the oldest live session began, in milliseconds since the epoch; undefined if there is none. */
  readonly oldest: number | undefined
}

export const EMPTY_CENSUS: Census = { live: 0, expired: 0, ended: 0, overdue: 0, oldest: undefined }

/** Both together. */
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

/** What is counted. */
interface CensusRange {
  /** The beginning of the ids; `''` for all rows. */
  readonly prefix: string
  readonly now: number
}

/** The rows that one statement looks at: so few that it takes no long time, and locks nothing for long. */
const ROWS = 10_000
/** Processes prune every quarter of an hour by default, and a row is kept for ten minutes after its end. An hour column is rounded up. */
const OVERDUE_HOURS = 3

/** Rows of moved sessions, and those that stop a move, have this hour or an earlier one from their beginning: they do not wait for long. */
const FIRST_HOUR = 1

/** Counts the rows that follow the id given. */
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

/** How many rows ended at that moment or before: found by the index of the hours. */
export async function countPrunable(db: Database, dialect: Dialect, table: TableDefinition, endedAt: number): Promise<number> {
  const { expiresAt, expiresHour } = quotedColumns(table, dialect.quote)
  const name = dialect.quote(table.schemaName, table.tableName)
  const sql = `SELECT count(*) FROM ${name} WHERE ${expiresHour} <= ? AND ${expiresAt} <= ? LIMIT 1`
  const [[count] = []] = await dialect.select(db, sql, [hourOf(endedAt), endedAt])
  return Number(count)
}

/** Rows of ended sessions that have to stay for now. */
export interface Waiting {
  readonly rows: number
  /** When the last of them has been dead for as long as `prunable` asks, by its hour too; undefined if there are none. */
  readonly until: number | undefined
}

/** Counts the rows that are dead and did not end at the moment given or before, by the same index. */
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
  // The hour of a session that was destroyed just now is the latest.
  const latestHour = hourOf(now + (now - endedAt)) + 1
  const bindings = [latestHour, now, hourOf(endedAt), endedAt, OWN_ROWS.length, OWN_ROWS]
  const [[rows, latest, hour] = []] = await dialect.select(db, sql, bindings)
  if (Number(rows) === 0) return { rows: 0, until: undefined }
  // The column of the hour is rounded up.
  const ended = Math.max(Number(latest), (Number(hour ?? 0) - 1) * HOUR_MS)
  return { rows: Number(rows), until: ended + (now - endedAt) }
}
