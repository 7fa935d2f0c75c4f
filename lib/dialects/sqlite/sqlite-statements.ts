import type { Database } from '../../knex/database'
import { DESTROYED, hourOf, NEVER_PRUNED } from '../../record/expiry-columns'
import type { RecordToPut, RecordToTouch, RecordToUpdate, RecordToUpdateWithLife, SessionRecord } from '../../record/session-record'
import { andThen, type MaybePromise } from '../../runtime/maybe-promise'
import { type Dialect, type MarkData, type OwnerMark, type SessionStatements, toMark, toRecord } from '../dialect'
import { quotedColumns, type TableDefinition } from '../table-definition'
import { PacedPruning } from './paced-pruning'
import { type Outcome, read, readByKey, type Step, writeEach, writeFirstThatHits } from './sqlite-connection'
import { GIVEN, hourAt, NOW } from './sqlite-time'

/**
 * One row in each statement, and many statements in a transaction. The database is in this process, so a statement has no way over a
 * network.
 *
 * An update writes the index of every column that it sets, even if the value is the same. So each kind of update is tried first without the
 * indexed columns, on the condition that they stay the same. Within one hour they do. This halves the cost of a touch.
 */
export class SqliteStatements implements SessionStatements {
  private readonly loadRow: string
  private readonly insertRow: string
  private readonly putRow: string
  private readonly putSameHour: string
  private readonly putLiveRow: string
  private readonly updateRow: string
  private readonly updateSameHour: string
  private readonly updateRowWithLife: Readonly<Record<'exactly' | 'later', string>>
  private readonly touchRow: string
  private readonly touchSameHour: string
  private readonly removeRow: string
  private readonly claimLease: string
  private readonly putMark: string
  private readonly loadMark: string
  private readonly pruning: PacedPruning

  constructor(quote: Dialect['quote'], table: TableDefinition) {
    this.pruning = new PacedPruning(quote, table)
    const name = quote(table.schemaName, table.tableName)
    const { id, data, expiresAt, expiresHour, revision, ownerId, createdAt, lastSeenAt } = quotedColumns(table, quote)
    const hour = hourAt

    this.loadRow = `SELECT ${data}, ${expiresAt}, ${revision}, ${createdAt}, ${ownerId} FROM ${name} WHERE ${id} = ?`

    const insert = `
INSERT INTO ${name} (${id}, ${data}, ${expiresAt}, ${expiresHour}, ${revision}, ${ownerId}, ${createdAt}, ${lastSeenAt}) VALUES (?, ?, ?, ?, 1, ?, ?, ?)
ON CONFLICT (${id})`
    const overwrite = (condition: string) => `${insert} DO UPDATE SET
  ${data} = excluded.${data},
  ${expiresAt} = excluded.${expiresAt},
  ${expiresHour} = excluded.${expiresHour},
  ${revision} = ${revision} + 1,
  ${ownerId} = excluded.${ownerId},
  ${lastSeenAt} = excluded.${lastSeenAt},
  ${createdAt} = CASE WHEN ${expiresAt} > ? THEN ${createdAt} ELSE excluded.${createdAt} END
${condition} RETURNING ${revision}`
    this.insertRow = `${insert} DO NOTHING`
    this.putRow = overwrite('')
    this.putLiveRow = overwrite(`WHERE ${expiresAt} > ?`)
    this.putSameHour = `
UPDATE ${name} SET ${data} = ?, ${expiresAt} = ?, ${lastSeenAt} = ?, ${revision} = ${revision} + 1
WHERE ${id} = ? AND ${expiresAt} > ? AND ${expiresHour} = ? AND ${ownerId} IS ? RETURNING ${revision}`

    const update = (expiry: string, more = '') => `
UPDATE ${name} SET
  ${data} = ?,
  ${expiresAt} = ${expiry},
  ${expiresHour} = ${hour(expiry)},
  ${revision} = ${revision} + 1,
  ${ownerId} = ?,
  ${lastSeenAt} = ?${more}
WHERE ${id} = ? AND ${revision} = ? AND ${expiresAt} > ? RETURNING 1`
    const later = `max(${expiresAt}, ${GIVEN})`
    this.updateRow = update(later)
    const beginning = `,
  ${createdAt} = ifnull(?, ${createdAt})`
    this.updateRowWithLife = { exactly: update(GIVEN, beginning), later: update(later, beginning) }
    this.updateSameHour = `
UPDATE ${name} SET ${data} = ?, ${expiresAt} = ${later}, ${lastSeenAt} = ?, ${revision} = ${revision} + 1
WHERE ${id} = ? AND ${revision} = ? AND ${expiresAt} > ? AND ${expiresHour} = ? AND ${ownerId} IS ? RETURNING 1`

    this.touchRow = `
UPDATE ${name} SET ${expiresAt} = ${later}, ${expiresHour} = ${hour(later)}, ${lastSeenAt} = ? WHERE ${id} = ? AND ${expiresAt} > ? RETURNING 1`

    this.touchSameHour = `
UPDATE ${name} SET ${expiresAt} = ${later}, ${lastSeenAt} = ? WHERE ${id} = ? AND ${expiresAt} > ? AND ${expiresHour} = ? RETURNING 1`

    this.removeRow = `
UPDATE ${name} SET ${data} = '{}', ${expiresAt} = ${DESTROYED}, ${expiresHour} = ?, ${revision} = ${revision} + 1, ${ownerId} = NULL
WHERE ${id} = ? AND ${expiresAt} <> 0`

    this.claimLease = `
INSERT INTO ${name} (${id}, ${data}, ${expiresAt}, ${expiresHour}, ${revision}, ${createdAt}, ${lastSeenAt}) VALUES (?, '{}', ${DESTROYED}, ${NEVER_PRUNED}, 1, ${NOW} + ?, 0)
ON CONFLICT (${id}) DO UPDATE SET ${createdAt} = excluded.${createdAt} WHERE ${createdAt} <= ${NOW} RETURNING 1`

    this.putMark = `
INSERT INTO ${name} (${id}, ${data}, ${expiresAt}, ${expiresHour}, ${revision}, ${createdAt}, ${lastSeenAt})
VALUES (?, ?, ${DESTROYED}, ${hour(`${NOW} + ${GIVEN}`)} + 1, 1, ${NOW}, 0)
ON CONFLICT (${id}) DO UPDATE SET ${data} = excluded.${data}, ${expiresHour} = max(${expiresHour}, excluded.${expiresHour}), ${createdAt} = excluded.${createdAt}`
    this.loadMark = `SELECT ${data}, ${NOW} - ${createdAt} FROM ${name} WHERE ${id} = ?`
  }

  load(db: Database, ids: readonly string[]): MaybePromise<SessionRecord[]> {
    return andThen(readByKey(db, this.loadRow, ids), (rows) =>
      rows.flatMap((row, index) => (row === undefined ? [] : [toRecord([ids[index], ...row])]))
    )
  }

  insert(db: Database, records: readonly RecordToPut[], now: number): MaybePromise<void> {
    const sets = records.map((record) => insertBindings(record, now))
    return andThen(writeEach(db, this.insertRow, sets), () => undefined)
  }

  put(db: Database, records: readonly RecordToPut[], now: number): MaybePromise<number[]> {
    const outcomes = writeFirstThatHits(
      db,
      records.map((record) => [this.sameHourPut(record, now), { sql: this.putRow, bindings: putBindings(record, now) }])
    )
    return andThen(outcomes, (each) => each.map(({ rows }) => Number(rows[0]?.[0])))
  }

  putUnlessDead(db: Database, records: readonly RecordToPut[], now: number): MaybePromise<(number | null)[]> {
    const outcomes = writeFirstThatHits(
      db,
      records.map((record) => [this.sameHourPut(record, now), { sql: this.putLiveRow, bindings: [...putBindings(record, now), now] }])
    )
    return andThen(outcomes, (each) => each.map(({ rows }) => (rows.length === 0 ? null : Number(rows[0]?.[0]))))
  }

  update(db: Database, records: readonly RecordToUpdate[], now: number): MaybePromise<boolean[]> {
    const outcomes = writeFirstThatHits(
      db,
      records.map((record) => {
        const { id, revision, data, expiresAt, ownerId } = record
        return [
          { sql: this.updateSameHour, bindings: [data, expiresAt, now, id, revision, now, hourOf(expiresAt), ownerId] },
          { sql: this.updateRow, bindings: updateBindings(record, now) }
        ]
      })
    )
    return andThen(outcomes, (each) => each.map(isHit))
  }

  updateWithLife(db: Database, records: readonly RecordToUpdateWithLife[], now: number): MaybePromise<boolean[]> {
    const { exactly, later } = this.updateRowWithLife
    const outcomes = writeFirstThatHits(
      db,
      records.map((record) => [{ sql: record.isExpiryExact ? exactly : later, bindings: updateBindings(record, now, [record.createdAt]) }])
    )
    return andThen(outcomes, (each) => each.map(isHit))
  }

  touch(db: Database, records: readonly RecordToTouch[], now: number): MaybePromise<number> {
    const outcomes = writeFirstThatHits(
      db,
      records.map(({ id, expiresAt }) => [
        { sql: this.touchSameHour, bindings: [expiresAt, now, id, now, hourOf(expiresAt)] },
        { sql: this.touchRow, bindings: [expiresAt, expiresAt, now, id, now] }
      ])
    )
    return andThen(outcomes, (each) => each.filter(isHit).length)
  }

  remove(db: Database, ids: readonly string[], pruneHour: number): MaybePromise<void> {
    const outcomes = writeEach(
      db,
      this.removeRow,
      ids.map((id) => [pruneHour, id])
    )
    return andThen(outcomes, () => undefined)
  }

  prune(db: Database, graceMs: number, limit: number, now: number): Promise<number> {
    return this.pruning.prune(db, [graceMs, now - graceMs], limit)
  }

  async claim(db: Database, id: string, leaseMs: number): Promise<boolean> {
    return (await writeEach(db, this.claimLease, [[id, leaseMs]])).some(isHit)
  }

  async mark(db: Database, id: string, mark: MarkData, graceMs: number): Promise<void> {
    await writeEach(db, this.putMark, [[id, JSON.stringify(mark), graceMs]])
  }

  async markOf(db: Database, id: string): Promise<OwnerMark | undefined> {
    return toMark((await read(db, { sql: this.loadMark, bindings: [id] }))[0])
  }

  private sameHourPut({ id, data, expiresAt, ownerId }: RecordToPut, now: number): Step {
    return { sql: this.putSameHour, bindings: [data, expiresAt, now, id, now, hourOf(expiresAt), ownerId] }
  }
}

function insertBindings({ id, data, expiresAt, ownerId, createdAt }: RecordToPut, now: number): unknown[] {
  return [id, data, expiresAt, hourOf(expiresAt), ownerId, createdAt, now]
}

function putBindings(record: RecordToPut, now: number): unknown[] {
  return [...insertBindings(record, now), now]
}

function updateBindings({ id, revision, data, expiresAt, ownerId }: RecordToUpdate, now: number, more: readonly unknown[] = []): unknown[] {
  return [data, expiresAt, expiresAt, ownerId, now, ...more, id, revision, now]
}

/** Each conditional statement returns a row if it found one, because not every path returns the number of changes. */
function isHit({ rows }: Outcome): boolean {
  return rows.length > 0
}
