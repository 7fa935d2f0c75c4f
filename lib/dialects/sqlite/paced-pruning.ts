import type { Database } from '../../knex/database'
import { takeTurns } from '../../runtime/event-loop'
import { isPromiseLike, type MaybePromise } from '../../runtime/maybe-promise'
import { monotonicNow } from '../../runtime/natives'
import { Pace } from '../../runtime/pace'
import type { Dialect } from '../dialect'
import { quotedColumns, type TableDefinition } from '../table-definition'
import { read, writeEach } from './sqlite-connection'
import { GIVEN, hourAt, NOW } from './sqlite-time'

/** A search that rested for longer than this, in milliseconds, begins again. Rows that it passed over may have ended since then. */
const LEFT_MS = 1000

/**
 * Deletes the rows of sessions that have ended, by statements that take little time each. Other calls run between them.
 *
 * All rows of hours that are over have ended, and the index finds them. Of the rows that end within this hour, some have ended. These are
 * searched in parts: one statement that looks for them among all rows of the hour could take seconds.
 */
export class PacedPruning {
  private readonly deleteOfPastHours: string
  private readonly endOfPart: string
  private readonly deleteInPart: string
  private readonly pace = new Pace()
  private readonly searchPace = new Pace()
  /** The row up to which this hour was searched, and when that was. */
  private searched = { to: 0, at: 0 }

  constructor(quote: Dialect['quote'], table: TableDefinition) {
    const name = quote(table.schemaName, table.tableName)
    const { id, expiresAt, expiresHour } = quotedColumns(table, quote)
    const row = rowNumberOf(table)
    const ended = `min(${NOW} - ${GIVEN}, ${GIVEN})`
    this.deleteOfPastHours = `
DELETE FROM ${name} WHERE ${id} IN (
  SELECT ${id} FROM ${name} WHERE ${expiresHour} < ${hourAt(ended)} AND ${expiresAt} <= ${ended}
  ORDER BY ${expiresHour} LIMIT ?) RETURNING 1`
    this.endOfPart = `
SELECT ${row} FROM ${name} WHERE ${expiresHour} = ${hourAt(ended)} AND ${row} > ? ORDER BY ${row} LIMIT 1 OFFSET ?`
    this.deleteInPart = `
DELETE FROM ${name} WHERE ${expiresHour} = ${hourAt(ended)} AND ${row} > ? AND ${row} <= ? AND ${expiresAt} <= ${ended} RETURNING 1`
  }

  /** @param ended the grace in milliseconds, and the moment by the store's clock before which a row has ended */
  async prune(db: Database, ended: readonly number[], limit: number): Promise<number> {
    let total = 0
    for (;;) {
      const rows = this.pace.rows(limit - total)
      const pruned = await timed(this.pace, rows, () => writeEach(db, this.deleteOfPastHours, [[...ended, ...ended, rows]]))
      total += pruned[0]?.rows.length ?? 0
      if (total === limit) return total
      await takeTurns()
      if ((pruned[0]?.rows.length ?? 0) < rows) return total + (await this.pruneThisHour(db, ended, limit - total))
    }
  }

  private async pruneThisHour(db: Database, ended: readonly number[], limit: number): Promise<number> {
    let after = monotonicNow() - this.searched.at > LEFT_MS ? 0 : this.searched.to
    let total = 0
    for (;;) {
      const rows = this.searchPace.rows(limit)
      const last = await read(db, { sql: this.endOfPart, bindings: [...ended, after, rows - 1] })
      const end = last[0] === undefined ? Number.MAX_SAFE_INTEGER : Number(last[0][0])
      const pruned = await timed(this.searchPace, rows, () => writeEach(db, this.deleteInPart, [[...ended, after, end, ...ended]]))
      total += pruned[0]?.rows.length ?? 0
      const isOver = end === Number.MAX_SAFE_INTEGER
      after = isOver ? 0 : end
      this.searched = { to: after, at: monotonicNow() }
      if (isOver || total >= limit) return total
      await takeTurns()
    }
  }
}

/**
 * Returns the result of the work. The pace learns from the time that the work took. It learns nothing from work that had to wait before it
 * ran.
 */
async function timed<T>(pace: Pace, rows: number, work: () => MaybePromise<T>): Promise<T> {
  const begin = monotonicNow()
  const outcome = work()
  if (isPromiseLike(outcome)) return outcome
  pace.took(rows, monotonicNow() - begin)
  return outcome
}

/** The number that SQLite gives every row, under a name that no column of the table has. */
function rowNumberOf({ columns }: TableDefinition): string {
  const taken = Object.values(columns).map((name: string) => name.toLowerCase())
  return ['rowid', 'oid'].find((name) => !taken.includes(name)) ?? '_rowid_'
}
