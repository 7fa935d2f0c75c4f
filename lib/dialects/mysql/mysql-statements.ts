import { createHash } from 'node:crypto'
import type { Database } from '../../knex/database'
import type { RecordToPut, RecordToTouch, RecordToUpdate, RecordToUpdateWithLife, SessionRecord } from '../../record/session-record'
import { type Dialect, type MarkData, type OwnerMark, type SessionStatements, toMark, toRecord, UNKNOWN_REVISION } from '../dialect'
import type { TableDefinition } from '../table-definition'
import { hasOrdinarySettings, type Outcome, select, selectLocked, textOf, write } from './mysql-connection'
import { type ExpiryBound, exactly, later, MysqlSql, type RowUpdate } from './mysql-sql'

/**
 * MariaDB and MySQL. Their UPDATE does not tell which rows it changed. So either the number of affected rows tells enough, or a SELECT
 * follows the statement.
 */
export class MysqlStatements implements SessionStatements {
  private readonly sql: MysqlSql
  /**
   * In a transaction: true once an update missed its row. The transaction reads from a snapshot, and this may be older than what its
   * updates see. A SELECT that locks the row sees the same as the updates.
   */
  private snapshotIsOld = false

  constructor(quote: Dialect['quote'], table: TableDefinition) {
    this.sql = new MysqlSql(quote, table)
  }

  async load(db: Database, ids: readonly string[]): Promise<SessionRecord[]> {
    const rows = await select(db, this.sql.load(ids, this.snapshotIsOld))
    return rows.map(([id, data, expiresAt, revision, createdAt, ownerId]) =>
      toRecord([textOf(id), textOf(data), expiresAt, revision, createdAt, ownerId === null ? null : textOf(ownerId)])
    )
  }

  async insert(db: Database, records: readonly RecordToPut[], now: number): Promise<void> {
    await write(db, this.sql.insert(records, now))
  }

  async put(db: Database, records: readonly RecordToPut[], now: number): Promise<number[]> {
    const tellsRevision = mayTellRevision(db, records)
    const outcome = await write(db, this.sql.put(records, now, tellsRevision))
    // An overwritten row always changes, and it counts twice.
    if (outcome.affectedRows === records.length) return records.map(() => 1)
    if (tellsRevision) return [outcome.insertId]
    // Some rows existed before, and nothing tells which. Few sessions overwrite another one, and few of these are written again by the same
    // request.
    if (!db.isTransaction) return records.map(() => UNKNOWN_REVISION)
    const found = await this.glance(db, records)
    return records.map((record) => revisionOf(record, found.get(record.id)))
  }

  async putUnlessDead(db: Database, records: readonly RecordToPut[], now: number): Promise<(number | null)[]> {
    const tellsRevision = mayTellRevision(db, records)
    const outcome = await write(db, this.sql.putUnlessDead(records, now, tellsRevision))
    if (tellsRevision) return [revisionUnlessDead(outcome)]
    if (outcome.affectedRows === 2 * records.length && !db.isTransaction) return records.map(() => UNKNOWN_REVISION)
    const found = await this.glance(db, records)
    return records.map((record) => {
      const row = found.get(record.id)
      return row === undefined || row.expiresAt <= now ? null : revisionOf(record, row)
    })
  }

  update(db: Database, records: readonly RecordToUpdate[], now: number): Promise<boolean[]> {
    return this.updateEach(db, records, now, later)
  }

  async updateWithLife(db: Database, records: readonly RecordToUpdateWithLife[], now: number): Promise<boolean[]> {
    const hit = new Set<string>()
    for (const [isExact, bound] of [[true, exactly] as const, [false, later] as const]) {
      const alike = records.filter(({ isExpiryExact }) => isExpiryExact === isExact)
      if (alike.length === 0) continue
      const hits = await this.updateEach(db, alike, now, bound)
      for (const [index, { id }] of alike.entries()) if (hits[index]) hit.add(id)
    }
    return records.map(({ id }) => hit.has(id))
  }

  async touch(db: Database, records: readonly RecordToTouch[], now: number): Promise<number> {
    return (await write(db, this.sql.touch(records, now))).affectedRows
  }

  async remove(db: Database, ids: readonly string[], pruneHour: number): Promise<void> {
    await write(db, this.sql.remove(ids, pruneHour))
  }

  async prune(db: Database, graceMs: number, limit: number, now: number): Promise<number> {
    return (await write(db, this.sql.prune(graceMs, limit, now))).affectedRows
  }

  async claim(db: Database, id: string, leaseMs: number): Promise<boolean> {
    const renewed = await write(db, this.sql.renewLease(id, leaseMs))
    if (renewed.affectedRows > 0) return true
    return (await write(db, this.sql.takeLease(id, leaseMs))).affectedRows > 0
  }

  async mark(db: Database, id: string, mark: MarkData, graceMs: number): Promise<void> {
    await write(db, this.sql.putMark(id, JSON.stringify(mark), graceMs))
  }

  async markOf(db: Database, id: string): Promise<OwnerMark | undefined> {
    const [row] = await select(db, this.sql.loadMark(id))
    return toMark(row && [textOf(row[0]), row[1]])
  }

  /**
   * Makes a conditional update. The number of affected rows tells everything if there is one row, or if all rows were hit. Otherwise
   * nothing can tell which rows were hit, because another process may have written the very same values. Then the update is rolled back,
   * the rows are locked, and it is made again.
   */
  private async updateEach(db: Database, records: readonly RowUpdate[], now: number, bound: ExpiryBound): Promise<boolean[]> {
    const alone = records.length === 1
    const hits = alone ? [(await this.hitsOf(db, records, now, bound)) === 1] : await this.updateMany(db, records, now, bound)
    if (db.isTransaction && hits.includes(false)) this.snapshotIsOld = true
    return hits
  }

  private async updateMany(db: Database, records: readonly RowUpdate[], now: number, bound: ExpiryBound): Promise<boolean[]> {
    if (!(await hasOrdinarySettings(db))) return this.updateOneByOne(db, records, now, bound)
    try {
      await db.transaction(async (trx) => {
        if ((await this.hitsOf(trx, records, now, bound)) < records.length) throw new SomeWereMissed()
      })
      return records.map(() => true)
    } catch (error) {
      if (!(error instanceof SomeWereMissed)) throw error
    }
    return db.transaction(async (trx) => {
      const rows = await selectLocked(trx, this.sql.lock(records, now))
      const current = new Map(rows.map(([id, revision]) => [textOf(id), Number(revision)]))
      const hits = records.map(({ id, revision }) => current.get(id) === revision)
      const matching = records.filter((_, index) => hits[index])
      if (matching.length > 0) await this.hitsOf(trx, matching, now, bound)
      return hits
    })
  }

  /** Needs no transaction, because each row has a statement of its own. */
  private async updateOneByOne(db: Database, records: readonly RowUpdate[], now: number, bound: ExpiryBound): Promise<boolean[]> {
    const hits: boolean[] = []
    for (const record of records) hits.push((await this.hitsOf(db, [record], now, bound)) === 1)
    return hits
  }

  private async hitsOf(db: Database, records: readonly RowUpdate[], now: number, bound: ExpiryBound): Promise<number> {
    return (await write(db, this.sql.update(records, now, bound))).affectedRows
  }

  /** Returns the current rows, with a digest in place of the data. */
  private async glance(db: Database, records: readonly { readonly id: string }[]): Promise<Map<string, Glance>> {
    const rows = await select(db, this.sql.glance(records))
    return new Map(
      rows.map(([id, expiresAt, revision, digest]) => [
        textOf(id),
        { expiresAt: Number(expiresAt), revision: Number(revision), digest: textOf(digest) }
      ])
    )
  }
}

interface Glance {
  readonly expiresAt: number
  readonly revision: number
  readonly digest: string
}

/** Rolls an update back. */
class SomeWereMissed extends Error {
  /** An error without a code is taken for one of a connection that was lost, and the connection is closed. */
  readonly code = 'SOME_WERE_MISSED'
}

/**
 * True if the response can have the revision of the row, as LAST_INSERT_ID(). This works for one row only. In a transaction it is not used,
 * because the value of LAST_INSERT_ID() belongs to the application.
 */
function mayTellRevision(db: Database, records: readonly unknown[]): boolean {
  return records.length === 1 && !db.isTransaction
}

/**
 * Returns the revision of a row that was put alone. The row was inserted or changed, or it was found dead. For a dead row, the count may be
 * the same as for an inserted row.
 */
function revisionUnlessDead({ affectedRows, insertId }: Outcome): number | null {
  if (insertId === 0) return 1
  return affectedRows === 2 ? insertId : null
}

/** Returns the revision at which the row holds the data that was put. Another process may have changed the row since then. */
function revisionOf({ data }: RecordToPut, row: Glance | undefined): number {
  return row?.digest === digestOf(data) ? row.revision : UNKNOWN_REVISION
}

function digestOf(data: string): string {
  return createHash('sha256').update(data).digest('hex')
}
