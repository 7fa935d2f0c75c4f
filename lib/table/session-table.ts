import type { Dialect, IndexUse, MarkData, OwnerMark, SessionStatements, SettingProblem } from '../dialects/dialect'
import { quotedColumns, type TableDefinition } from '../dialects/table-definition'
import { explainDriverError, wrapDriverError } from '../dialects/wrap-driver-error'
import { isOurs } from '../errors'
import type { Database } from '../knex/database'
import type { StatementBounds } from '../knex/statement-bounds'
import { Statistics } from '../observe/statistics'
import { Observation, statementChannel } from '../observe/tracing'
import { hourOf } from '../record/expiry-columns'
import type { RecordToPut, RecordToTouch, RecordToUpdate, RecordToUpdateWithLife, SessionRecord } from '../record/session-record'
import { OWN_ROWS } from '../record/stored-id'
import { andThen, isPromiseLike, type MaybePromise } from '../runtime/maybe-promise'
import type { ScanRange } from './live-rows'
import { type OwnedPlace, type OwnedRecord, type OwnerCount, OwnerScan, type PrefixCount } from './owner-scan'
import { type Census, countPrunable, countWaiting, takeCensus, type Waiting } from './table-census'
import { type Page, TableScan } from './table-scan'

/**
 * How long a dead row stays, in milliseconds. A request that still holds the session may try to write it back, and no request lives as long
 * as this.
 */
export const GRACE_MS = 600_000

/** No session can have this id, because an id goes on after the colon. */
const LEASE_ID = `${OWN_ROWS}prune-lease:`

/** Knows whether the table exists, and creates it if it does not: `TablePresence`, which is above this folder. */
export interface Presence {
  readonly isThere: boolean
  /** Resolves when the table exists. */
  ensure(): Promise<void>
  /** Called after a statement has found the table missing. Resolves when the table exists again. */
  makeAgain(): Promise<void>
}

/** The sessions table. Every statement on it starts here, with many rows at a time, in order. Errors of the driver do not get past it. */
export class SessionTable {
  /** Counts and times of the statements since the start. */
  readonly statistics = new Statistics()
  private readonly statements: SessionStatements
  private readonly scan: TableScan
  private readonly owned: OwnerScan

  constructor(
    private readonly db: Database,
    private readonly dialect: Dialect,
    private readonly table: TableDefinition,
    private readonly presence: Presence,
    /** The store's clock, in milliseconds since the epoch. */
    private readonly now: () => number
  ) {
    this.statements = dialect.statements(table)
    this.scan = new TableScan(db, dialect, table, now)
    this.owned = new OwnerScan(db, dialect, table, now)
  }

  /**
   * Resolves when the table is there. If it was seen before, nothing is asked of the database; but a Knex that was destroyed is an error.
   */
  async ready(): Promise<void> {
    if (!this.presence.isThere) return this.presence.ensure()
    await this.db.refuseDestroyed().catch((error) => {
      throw wrapDriverError(this.dialect, error, 'table check')
    })
  }

  load(ids: readonly string[], bounds?: StatementBounds): MaybePromise<(SessionRecord | null)[]> {
    return this.run('get', ids.length, () => this.find(this.on(bounds), ids))
  }

  insert(records: readonly RecordToPut[], bounds?: StatementBounds): MaybePromise<void> {
    return this.run('set', records.length, () => this.statements.insert(this.on(bounds), records, this.now()))
  }

  put(records: readonly RecordToPut[], bounds?: StatementBounds): MaybePromise<number[]> {
    return this.run('set', records.length, () => this.statements.put(this.on(bounds), records, this.now()))
  }

  putUnlessDead(records: readonly RecordToPut[], bounds?: StatementBounds): MaybePromise<(number | null)[]> {
    return this.run('set', records.length, () => this.statements.putUnlessDead(this.on(bounds), records, this.now()))
  }

  update(records: readonly RecordToUpdate[], bounds?: StatementBounds): MaybePromise<boolean[]> {
    return this.run('set', records.length, () => this.statements.update(this.on(bounds), records, this.now()))
  }

  updateWithLife(records: readonly RecordToUpdateWithLife[], bounds?: StatementBounds): MaybePromise<boolean[]> {
    return this.run('set', records.length, () => this.statements.updateWithLife(this.on(bounds), records, this.now()))
  }

  touch(records: readonly RecordToTouch[], bounds?: StatementBounds): MaybePromise<boolean[]> {
    return this.run('touch', records.length, () => {
      const now = this.now()
      const db = this.on(bounds)
      return andThen(this.statements.touch(db, records, now), (alive) => {
        if (alive === records.length) return records.map(() => true)
        const ids = records.map(({ id }) => id)
        return andThen(this.find(db, ids), (found) => found.map((record) => (record?.expiresAt ?? 0) > now))
      })
    })
  }

  remove(ids: readonly string[], bounds?: StatementBounds): MaybePromise<void> {
    // One hour more than the grace needs, because the column counts whole hours.
    const pruneHour = hourOf(this.now() + GRACE_MS) + 1
    return this.run('destroy', ids.length, () => this.statements.remove(this.on(bounds), ids, pruneHour))
  }

  /** Returns live rows after the given id, in the order of their ids. */
  async page(range: ScanRange, after: string, limit: number): Promise<Page<SessionRecord[]>> {
    return this.run('scan', 1, () => this.scan.records(range, after, limit), true)
  }

  /** Returns the ids of live rows after the given id, in their order. */
  async pageOfIds(range: ScanRange, after: string, limit: number): Promise<Page<string[]>> {
    return this.run('scan', 1, () => this.scan.ids(range, after, limit), true)
  }

  /** Counts the live rows of a page after the given id. */
  async count(range: ScanRange, after: string): Promise<Page<number>> {
    return this.run('length', 1, () => this.scan.count(range, after), true)
  }

  /** Returns the live rows of an owner, the newest first, at most `limit` after the given place. */
  async ofOwner(range: ScanRange, ownerId: string, after: OwnedPlace | undefined, limit: number): Promise<OwnedRecord[]> {
    return this.run('owner', 1, () => this.owned.records(range, ownerId, after, limit), true)
  }

  /** Returns only the places of these rows. */
  async placesOfOwner(range: ScanRange, ownerId: string, after: OwnedPlace | undefined, limit: number): Promise<OwnedPlace[]> {
    return this.run('owner', 1, () => this.owned.places(range, ownerId, after, limit), true)
  }

  /** Returns the number of live rows of the owner. */
  async countOf(range: ScanRange, ownerId: string): Promise<number> {
    return this.run('owner', 1, () => this.owned.count(range, ownerId), true)
  }

  /** Returns the number of live rows of each owner, for a page of owners after the given one, in the order of owners. */
  async countByOwner(range: ScanRange, after: string): Promise<Page<OwnerCount[]>> {
    return this.run('owner', 1, () => this.owned.counts(range, after), true)
  }

  /** Ends the session, and keeps its dead row until the given moment. */
  async bury(id: string, until: number): Promise<void> {
    await this.run('destroy', 1, () => this.statements.remove(this.db, [id], hourOf(until) + 1), true)
  }

  /** Stores the mark of a log-out everywhere. It stays for `graceMs`. */
  async mark(id: string, mark: MarkData, graceMs = GRACE_MS): Promise<void> {
    await this.run('owner', 1, () => this.statements.mark(this.db, id, mark, graceMs), true)
  }

  /** Returns the mark of a log-out everywhere, or undefined if there is none. */
  async markOf(id: string): Promise<OwnerMark | undefined> {
    return this.run('owner', 1, () => this.statements.markOf(this.db, id), true)
  }

  /**
   * Replaces the data of a live session, and its id if a new one is given. Does nothing if the row has changed since it was loaded. The
   * revision stays, so requests that hold the session can still write it. Returns whether the row was changed.
   */
  async rewrite({ id, revision }: SessionRecord, data: string, newId = id): Promise<boolean> {
    const columns = quotedColumns(this.table, this.dialect.quote)
    const sql = `UPDATE ${this.name} SET ${columns.id} = ?, ${columns.data} = ?
      WHERE ${columns.id} = ? AND ${columns.revision} = ? AND ${columns.expiresAt} > ?`
    const update = () => this.dialect.change(this.db, sql, [newId, data, id, revision, this.now()])
    return (await this.run('rewrite', 1, update, true)) > 0
  }

  /** Counts the rows of a part of the table, after the given id. */
  async census(prefix: string, after: string): Promise<Page<Census>> {
    const { db, dialect, table } = this
    return this.run('status', 1, () => takeCensus(db, dialect, table, { prefix, now: this.now() }, after), true)
  }

  /** Returns the number of rows that `prune` would delete now. */
  async prunable(): Promise<number> {
    return this.run('status', 1, () => countPrunable(this.db, this.dialect, this.table, this.now() - GRACE_MS), true)
  }

  /** Returns how many rows of ended sessions `prune` would not delete yet, and until when. */
  async waiting(): Promise<Waiting> {
    const now = this.now()
    return this.run('status', 1, () => countWaiting(this.db, this.dialect, this.table, { now, endedAt: now - GRACE_MS }), true)
  }

  /** Returns how many of the owner's newest 1000 live rows are outside of the range, by the prefix of their ids. */
  async outOfRange(range: ScanRange, ownerId: string): Promise<PrefixCount[]> {
    return this.run('owner', 1, () => this.owned.outOfRange(range, ownerId), true)
  }

  /** Returns how often each index was used. Undefined if the database does not count this. */
  async indexUses(): Promise<readonly IndexUse[] | undefined> {
    return this.run('status', 1, () => this.dialect.indexUses(this.db, this.table), true)
  }

  /** Returns the settings of the connection with which sessions may be lost. */
  async settingProblems(): Promise<readonly SettingProblem[]> {
    return this.run('status', 1, async () => (await this.dialect.settingProblems?.(this.db)) ?? [], true)
  }

  /** Returns the size of the table with its indexes, in bytes. Undefined if the database cannot tell. */
  async size(): Promise<number | undefined> {
    return this.run('status', 1, () => this.dialect.size(this.db, this.table), true)
  }

  /** For tests: deletes every row, also the dead rows of destroyed sessions. */
  async deleteAll(): Promise<void> {
    await this.run('reset', 1, () => this.db.run(`DELETE FROM ${this.name}`))
  }

  /** Deletes at most `limit` rows that have been dead for longer than the grace. */
  async prune(limit: number): Promise<number> {
    return this.run('prune', 1, () => this.statements.prune(this.db, GRACE_MS, limit, this.now()), true)
  }

  /** Returns true if this process may prune for the next `leaseMs`. Only one process at a time gets true. */
  async claimPruning(leaseMs: number): Promise<boolean> {
    return this.run('prune', 1, () => this.statements.claim(this.db, LEASE_ID, leaseMs))
  }

  private get name(): string {
    return this.dialect.quote(this.table.schemaName, this.table.tableName)
  }

  private on(bounds: StatementBounds | undefined): Database {
    return bounds === undefined ? this.db : this.db.within(bounds)
  }

  private find(db: Database, ids: readonly string[]): MaybePromise<(SessionRecord | null)[]> {
    return andThen(this.statements.load(db, ids), (records) => inOrder(ids, records))
  }

  /**
   * @param isRepeatable whether the statement may be sent once more after its connection broke. Statements of callers are sent again by the
   * lane.
   */
  private run<T>(operation: string, batchSize: number, statement: () => MaybePromise<T>, isRepeatable = false): MaybePromise<T> {
    const observation = new Observation(statementChannel, this.statistics, operation, this.dialect.name, batchSize)
    const ended = (value: T) => {
      observation.end(undefined)
      return value
    }
    const failed = (error: unknown) => {
      observation.end(error)
      throw error
    }
    // It never throws: a failure is a rejection.
    const answer = observation.start(() => this.runReady(operation, statement, isRepeatable))
    return isPromiseLike(answer) ? answer.then(ended, failed) : ended(answer)
  }

  private runReady<T>(operation: string, statement: () => MaybePromise<T>, isRepeatable: boolean): MaybePromise<T> {
    if (!this.presence.isThere) return this.presence.ensure().then(() => this.attempt(operation, statement, isRepeatable))
    return this.attempt(operation, statement, isRepeatable)
  }

  private attempt<T>(operation: string, statement: () => MaybePromise<T>, isRepeatable: boolean): MaybePromise<T> {
    try {
      const answer = statement()
      return isPromiseLike(answer) ? answer.catch((error) => this.again(operation, statement, isRepeatable, error)) : answer
    } catch (error) {
      return this.again(operation, statement, isRepeatable, error)
    }
  }

  /** Called after a statement failed. Sends it once more if the table was missing and has been made, or if the connection broke. */
  private async again<T>(operation: string, statement: () => MaybePromise<T>, isRepeatable: boolean, error: unknown): Promise<T> {
    const diagnosis = isOurs(error) ? 'other' : this.dialect.diagnose(error)
    // In a transaction that has failed, the database cannot be asked about the table.
    const isChanged = diagnosis === 'table-perhaps-missing' || (diagnosis === 'constraint' && !this.db.isTransaction)
    const isMissing = diagnosis === 'table-missing' || isChanged
    const mayRepeat = diagnosis === 'unreachable' && isRepeatable && !this.db.isTransaction
    if (!isMissing && !mayRepeat) throw await this.explain(error, operation)
    if (isMissing) await this.presence.makeAgain()
    try {
      return await statement()
    } catch (secondError) {
      throw await this.explain(secondError, operation)
    }
  }

  private explain(error: unknown, operation: string): Promise<Error> {
    return explainDriverError(this.dialect, error, operation, this.db, this.table)
  }
}

/**
 * Returns the record of each id, or null. Mostly each id has a record and they come in this order. To see this costs less than to look each
 * one up.
 */
function inOrder(ids: readonly string[], records: readonly SessionRecord[]): (SessionRecord | null)[] {
  if (records.length === ids.length && records.every(({ id }, index) => id === ids[index])) return records as SessionRecord[]
  const found = new Map(records.map((record) => [record.id, record]))
  return ids.map((id) => found.get(id) ?? null)
}
