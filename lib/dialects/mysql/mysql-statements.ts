import { createHash } from 'node:crypto'
import type { Database } from '../../knex/database'
import type { RecordToPut, RecordToTouch, RecordToUpdate, SessionRecord } from '../../record/session-record'
import { type Dialect, type SessionStatements, toRecord, UNKNOWN_REVISION } from '../dialect'
import type { TableDefinition } from '../table-definition'
import { hasOrdinarySettings, type Outcome, select, selectLocked, textOf, write } from './mysql-connection'
import { type ExpiryBound, exactly, later, MysqlSql } from './mysql-sql'

/**
 * MariaDB and MySQL. Their UPDATE does not tell which rows it changed. So each statement is one whose number of affected rows tells enough,
 * or it is followed by a SELECT.
 */
export class MysqlStatements implements SessionStatements {
  private readonly sql: MysqlSql
  /**
   * In a transaction: true once an update missed its row. The transaction reads from a snapshot, which may be older than what its updates
   * see; reading the row to change it sees the same as they.
   */
  private snapshotIsOld = false

  constructor(quote: Dialect['quote'], table: TableDefinition) {
    this.sql = new MysqlSql(quote, table)
  }

  async load(db: Database, ids: readonly string[]): Promise<SessionRecord[]> {
    const rows = await select(db, this.sql.load(ids, this.snapshotIsOld))
    return rows.map(([id, data, ...numbers]) => toRecord([textOf(id), textOf(data), ...numbers]))
  }

  async insert(db: Database, records: readonly RecordToPut[], now: number): Promise<void> {
    await write(db, this.sql.insert(records, now))
  }

  async put(db: Database, records: readonly RecordToPut[], now: number): Promise<number[]> {
    const tellsRevision = mayTellRevision(db, records)
    const outcome = await write(db, this.sql.put(records, now, tellsRevision))
    // An overwritten row always changes, and counts twice.
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

  updateWithExpiry(db: Database, records: readonly RecordToUpdate[], now: number): Promise<boolean[]> {
    return this.updateEach(db, records, now, exactly)
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

  /**
   * A conditional update. The number of rows that were hit tells all if it is one row, or all rows. Otherwise nothing can tell which they
   * were, for another process may have written the very same: so it is taken back, and done again with the rows locked before.
   */
  private async updateEach(db: Database, records: readonly RecordToUpdate[], now: number, bound: ExpiryBound): Promise<boolean[]> {
    const alone = records.length === 1
    const hits = alone ? [(await this.hitsOf(db, records, now, bound)) === 1] : await this.updateMany(db, records, now, bound)
    if (db.isTransaction && hits.includes(false)) this.snapshotIsOld = true
    return hits
  }

  private async updateMany(db: Database, records: readonly RecordToUpdate[], now: number, bound: ExpiryBound): Promise<boolean[]> {
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

  /** Needs no transaction. */
  private async updateOneByOne(db: Database, records: readonly RecordToUpdate[], now: number, bound: ExpiryBound): Promise<boolean[]> {
    const hits: boolean[] = []
    for (const record of records) hits.push((await this.hitsOf(db, [record], now, bound)) === 1)
    return hits
  }

  private async hitsOf(db: Database, records: readonly RecordToUpdate[], now: number, bound: ExpiryBound): Promise<number> {
    return (await write(db, this.sql.update(records, now, bound))).affectedRows
  }

  /** The current rows, with a digest in place of the data. */
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

/** Takes an update back. */
class SomeWereMissed extends Error {}

/** The revision of one row comes with the response, as LAST_INSERT_ID() is then. In a transaction that value belongs to the application. */
function mayTellRevision(db: Database, records: readonly unknown[]): boolean {
  return records.length === 1 && !db.isTransaction
}

/** Of a row put alone: inserted, changed, or found dead, for which the count may be that of an inserted one. */
function revisionUnlessDead({ affectedRows, insertId }: Outcome): number | null {
  if (insertId === 0) return 1
  return affectedRows === 2 ? insertId : null
}

/** The revision at which the row holds the data that was put. Another process may have changed it since. */
function revisionOf({ data }: RecordToPut, row: Glance | undefined): number {
  return row?.digest === digestOf(data) ? row.revision : UNKNOWN_REVISION
}

function digestOf(data: string): string {
  return createHash('sha256').update(data).digest('hex')
}
