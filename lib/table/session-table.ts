import type { Dialect, SessionStatements } from '../dialects/dialect'
import type { TableDefinition } from '../dialects/table-definition'
import { explainDriverError } from '../dialects/wrap-driver-error'
import { isOurs } from '../errors'
import type { Database } from '../knex/database'
import type { StatementBounds } from '../knex/statement-bounds'
import { Statistics } from '../observe/statistics'
import { Observation, statementChannel } from '../observe/tracing'
import { hourOf } from '../record/expiry-columns'
import type { RecordToPut, RecordToTouch, RecordToUpdate, SessionRecord } from '../record/session-record'
import { isPromiseLike, passOn, type Soon } from '../runtime/soon'
import type { ScanRange } from './live-rows'
import { type OwnedPlace, type OwnedRecord, OwnerScan } from './owner-scan'
import { type Page, TableScan } from './table-scan'

/** How long a dead row stays: longer than a request lives that may still hold its session and try to write it back. */
export const GRACE_MS = 600_000

/** No session can have it: after the colon, a stored id goes on. */
const LEASE_ID = 'knex-session-store:prune-lease:'

/** Knows whether the table is there, and makes it if not. */
export interface TableKeeper {
  readonly isThere: boolean
  /** Resolves when the table is there. */
  ensure(): Promise<void>
  /** The same after a statement found it missing. */
  makeAgain(): Promise<void>
}

/** The sessions table: every statement on it starts here, with many rows at a time, in order. Errors of the driver end here. */
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
    private readonly keeper: TableKeeper,
    /** The store's clock, in milliseconds since the epoch. */
    private readonly now: () => number
  ) {
    this.statements = dialect.statements(table)
    this.scan = new TableScan(db, dialect, table, now)
    this.owned = new OwnerScan(db, dialect, table, now)
  }

  /** Resolves when the table is there. */
  async ready(): Promise<void> {
    if (!this.keeper.isThere) await this.keeper.ensure()
  }

  load(ids: readonly string[], bounds?: StatementBounds): Soon<(SessionRecord | null)[]> {
    return this.run('get', ids.length, () => this.find(this.on(bounds), ids))
  }

  insert(records: readonly RecordToPut[], bounds?: StatementBounds): Soon<void> {
    return this.run('set', records.length, () => this.statements.insert(this.on(bounds), records, this.now()))
  }

  put(records: readonly RecordToPut[], bounds?: StatementBounds): Soon<number[]> {
    return this.run('set', records.length, () => this.statements.put(this.on(bounds), records, this.now()))
  }

  putUnlessDead(records: readonly RecordToPut[], bounds?: StatementBounds): Soon<(number | null)[]> {
    return this.run('set', records.length, () => this.statements.putUnlessDead(this.on(bounds), records, this.now()))
  }

  update(records: readonly RecordToUpdate[], bounds?: StatementBounds): Soon<boolean[]> {
    return this.run('set', records.length, () => this.statements.update(this.on(bounds), records, this.now()))
  }

  updateWithExpiry(records: readonly RecordToUpdate[], bounds?: StatementBounds): Soon<boolean[]> {
    return this.run('set', records.length, () => this.statements.updateWithExpiry(this.on(bounds), records, this.now()))
  }

  touch(records: readonly RecordToTouch[], bounds?: StatementBounds): Soon<boolean[]> {
    return this.run('touch', records.length, () => {
      const now = this.now()
      const db = this.on(bounds)
      return passOn(this.statements.touch(db, records, now), (alive) => {
        if (alive === records.length) return records.map(() => true)
        const ids = records.map(({ id }) => id)
        return passOn(this.find(db, ids), (found) => found.map((record) => (record?.expiresAt ?? 0) > now))
      })
    })
  }

  remove(ids: readonly string[], bounds?: StatementBounds): Soon<void> {
    // One hour more than the grace needs, because an hour is as exact as the column is.
    const pruneHour = hourOf(this.now() + GRACE_MS) + 1
    return this.run('destroy', ids.length, () => this.statements.remove(this.on(bounds), ids, pruneHour))
  }

  /** Live rows in the order of their ids, after the id given. */
  async page(range: ScanRange, after: string, limit: number): Promise<Page<SessionRecord[]>> {
    return this.run('scan', 1, () => this.scan.records(range, after, limit), true)
  }

  /** The ids of live rows, in the same way. */
  async pageOfIds(range: ScanRange, after: string, limit: number): Promise<Page<string[]>> {
    return this.run('scan', 1, () => this.scan.ids(range, after, limit), true)
  }

  /** How many rows are alive, in the same way. */
  async count(range: ScanRange, after: string): Promise<Page<number>> {
    return this.run('length', 1, () => this.scan.count(range, after), true)
  }

  /** The live rows of an owner, the newest first, at most `limit` after the place given. */
  async ofOwner(range: ScanRange, ownerId: string, after: OwnedPlace | undefined, limit: number): Promise<OwnedRecord[]> {
    return this.run('owner', 1, () => this.owned.records(range, ownerId, after, limit), true)
  }

  /** Their places, in the same way. */
  async placesOfOwner(range: ScanRange, ownerId: string, after: OwnedPlace | undefined, limit: number): Promise<OwnedPlace[]> {
    return this.run('owner', 1, () => this.owned.places(range, ownerId, after, limit), true)
  }

  /** How many live rows the owner has. */
  async countOf(range: ScanRange, ownerId: string): Promise<number> {
    return this.run('owner', 1, () => this.owned.count(range, ownerId), true)
  }

  /** For tests: deletes every row, also the rows that keep destroyed sessions dead. */
  async deleteAll(): Promise<void> {
    const { schemaName, tableName } = this.table
    const name = this.dialect.quote(schemaName, tableName)
    await this.run('reset', 1, () => this.db.run(`DELETE FROM ${name}`))
  }

  /** Deletes at most `limit` rows that have been dead for the grace. */
  async prune(limit: number): Promise<number> {
    return this.run('prune', 1, () => this.statements.prune(this.db, GRACE_MS, limit, this.now()), true)
  }

  /** True for the one process that may prune for the next `leaseMs`. */
  async claimPruning(leaseMs: number): Promise<boolean> {
    return this.run('prune', 1, () => this.statements.claim(this.db, LEASE_ID, leaseMs))
  }

  private on(bounds: StatementBounds | undefined): Database {
    return bounds === undefined ? this.db : this.db.within(bounds)
  }

  private find(db: Database, ids: readonly string[]): Soon<(SessionRecord | null)[]> {
    return passOn(this.statements.load(db, ids), (records) => inOrder(ids, records))
  }

  /**
   * @param isRepeatable whether the statement may be sent once more after its connection broke; statements for callers have their own tries
   */
  private run<T>(operation: string, batchSize: number, statement: () => Soon<T>, isRepeatable = false): Soon<T> {
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

  private runReady<T>(operation: string, statement: () => Soon<T>, isRepeatable: boolean): Soon<T> {
    if (!this.keeper.isThere) return this.keeper.ensure().then(() => this.attempt(operation, statement, isRepeatable))
    return this.attempt(operation, statement, isRepeatable)
  }

  private attempt<T>(operation: string, statement: () => Soon<T>, isRepeatable: boolean): Soon<T> {
    try {
      const answer = statement()
      return isPromiseLike(answer) ? answer.catch((error) => this.again(operation, statement, isRepeatable, error)) : answer
    } catch (error) {
      return this.again(operation, statement, isRepeatable, error)
    }
  }

  /** After a statement failed: sends it once more, if the table was missing and has been made, or if the connection broke. */
  private async again<T>(operation: string, statement: () => Soon<T>, isRepeatable: boolean, error: unknown): Promise<T> {
    const diagnosis = isOurs(error) ? 'other' : this.dialect.diagnose(error)
    const isMissing = diagnosis === 'table-missing' || diagnosis === 'table-perhaps-missing'
    const mayRepeat = diagnosis === 'unreachable' && isRepeatable && !this.db.isTransaction
    if (!isMissing && !mayRepeat) throw await this.explain(error, operation)
    if (isMissing) await this.keeper.makeAgain()
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

/** The record of each id, or null. Mostly each has one and they come in this order, which costs less to see than to look each up. */
function inOrder(ids: readonly string[], records: readonly SessionRecord[]): (SessionRecord | null)[] {
  if (records.length === ids.length && records.every(({ id }, index) => id === ids[index])) return records as SessionRecord[]
  const found = new Map(records.map((record) => [record.id, record]))
  return ids.map((id) => found.get(id) ?? null)
}
