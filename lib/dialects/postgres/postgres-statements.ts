import type { Database } from '../../knex/database'
import type { RecordToPut, RecordToTouch, RecordToUpdate, RecordToUpdateWithLife, SessionRecord } from '../../record/session-record'
import { type Dialect, type Durability, type MarkData, type OwnerMark, type SessionStatements, toMark, toRecord } from '../dialect'
import type { TableDefinition } from '../table-definition'
import { int4Array, int8Array, textArray } from './binary-array'
import { type RowStatement, type SessionSql, type SqlFlavour, sessionSql, UNCHANGED } from './postgres-sql'
import type { Binding, Statement } from './prepared-query'
import { runPrepared } from './run-prepared'

/** How statements are sent and committed. */
export interface PostgresOptions {
  /** False if named prepared statements cannot be used: behind pgbouncer before 1.21 in transaction mode. */
  readonly prepare: boolean
  readonly durability: Durability
}

/** Each statement has two forms: for one row, from plain parameters, and for many rows, from one array for each column. */
export class PostgresStatements implements SessionStatements {
  private readonly autocommit: SessionSql
  private readonly inTransaction: SessionSql
  private readonly boundsLockWaits: boolean

  constructor(quote: Dialect['quote'], table: TableDefinition, { prepare, durability }: PostgresOptions, flavour: SqlFlavour) {
    const { boundsLockWaits } = flavour
    this.inTransaction = sessionSql(table, quote, prepare, { durability: 'all', boundsLockWaits: false }, flavour)
    this.autocommit = sessionSql(table, quote, prepare, { durability, boundsLockWaits }, flavour)
    this.boundsLockWaits = boundsLockWaits
  }

  async load(db: Database, ids: readonly string[]): Promise<SessionRecord[]> {
    const { rows } = await runPrepared(db, pick(this.sql(db).loadRows, ids), [texts(ids, itself)], true)
    return rows.map(toRecord)
  }

  async insert(db: Database, records: readonly RecordToPut[], now: number): Promise<void> {
    await runPrepared(db, pick(this.sql(db).insertRows, records), [String(now), ...putBindings(records), ...this.lockWait(db)])
  }

  async put(db: Database, records: readonly RecordToPut[], now: number): Promise<number[]> {
    const { rows } = await runPrepared(db, pick(this.sql(db).putRows, records), [
      String(now),
      ...putBindings(records),
      ...this.lockWait(db),
      String(now)
    ])
    const revisions = byId(rows)
    return records.map(({ id }) => revisions.get(id) as number)
  }

  async putUnlessDead(db: Database, records: readonly RecordToPut[], now: number): Promise<(number | null)[]> {
    const bindings = [String(now), ...putBindings(records), ...this.lockWait(db), String(now), String(now)]
    const { rows } = await runPrepared(db, pick(this.sql(db).putLiveRows, records), bindings)
    const revisions = byId(rows)
    return records.map(({ id }) => revisions.get(id) ?? null)
  }

  update(db: Database, records: readonly RecordToUpdate[], now: number): Promise<boolean[]> {
    const bindings = [String(now), ...updateBindings(records), String(now), ...this.lockWait(db)]
    return updated(db, pick(this.sql(db).updateRows, records), records, bindings)
  }

  updateWithLife(db: Database, records: readonly RecordToUpdateWithLife[], now: number): Promise<boolean[]> {
    const beginnings = numbers(records, ({ createdAt }) => createdAt ?? UNCHANGED, int8Array)
    const areExact = numbers(records, ({ isExpiryExact }) => Number(isExpiryExact), int4Array)
    const bindings = [String(now), beginnings, areExact, ...updateBindings(records), String(now), ...this.lockWait(db)]
    return updated(db, pick(this.sql(db).updateRowsWithLife, records), records, bindings)
  }

  async touch(db: Database, records: readonly RecordToTouch[], now: number): Promise<number> {
    const moments = numbers(records, expiresAtOf, int8Array)
    const bindings = [String(now), texts(records, idOf), moments, String(now), ...this.lockWait(db)]
    return (await runPrepared(db, pick(this.sql(db).touchRows, records), bindings)).rowCount
  }

  async remove(db: Database, ids: readonly string[], pruneHour: number): Promise<void> {
    await runPrepared(db, pick(this.sql(db).removeRows, ids), [String(pruneHour), texts(ids, itself), ...this.lockWait(db)])
  }

  async prune(db: Database, graceMs: number, limit: number, now: number): Promise<number> {
    const ended = [String(graceMs), String(now - graceMs)]
    return (await runPrepared(db, this.sql(db).pruneRows, [...ended, ...ended, String(limit)])).rowCount
  }

  async claim(db: Database, id: string, leaseMs: number): Promise<boolean> {
    return (await runPrepared(db, this.sql(db).claimLease, [id, String(leaseMs)])).rowCount > 0
  }

  async mark(db: Database, id: string, mark: MarkData, graceMs: number): Promise<void> {
    await runPrepared(db, this.sql(db).putMark, [id, JSON.stringify(mark), String(graceMs)])
  }

  async markOf(db: Database, id: string): Promise<OwnerMark | undefined> {
    return toMark((await runPrepared(db, this.sql(db).loadMark, [id], true)).rows[0])
  }

  /** How long a write waits for a locked row, where it takes that. */
  private lockWait(db: Database): Binding[] {
    return this.boundsLockWaits && !db.isTransaction ? [String(db.lockWaitMs ?? 0)] : []
  }

  private sql(db: Database): SessionSql {
    return db.isTransaction ? this.inTransaction : this.autocommit
  }
}

function pick({ one, many }: RowStatement, rows: readonly unknown[]): Statement {
  return rows.length === 1 ? one : many
}

function texts<Row>(rows: readonly Row[], of: (row: Row) => string | null): Binding {
  return rows.length === 1 ? of(rows[0] as Row) : textArray(rows.map(of))
}

function numbers<Row>(rows: readonly Row[], of: (row: Row) => number, list: typeof int8Array): Binding {
  return rows.length === 1 ? String(of(rows[0] as Row)) : list(rows.map(of))
}

function putBindings(records: readonly RecordToPut[]): Binding[] {
  return [
    texts(records, idOf),
    numbers(records, expiresAtOf, int8Array),
    texts(records, ownerIdOf),
    numbers(records, ({ createdAt }) => createdAt, int8Array),
    texts(records, dataOf)
  ]
}

function updateBindings(records: readonly RecordToUpdate[]): Binding[] {
  return [
    texts(records, idOf),
    numbers(records, ({ revision }) => revision, int4Array),
    numbers(records, expiresAtOf, int8Array),
    texts(records, ownerIdOf),
    texts(records, dataOf)
  ]
}

async function updated(
  db: Database,
  statement: Statement,
  records: readonly RecordToUpdate[],
  bindings: readonly Binding[]
): Promise<boolean[]> {
  const { rows } = await runPrepared(db, statement, bindings)
  const hit = new Set(rows.map(([id]) => id))
  return records.map(({ id }) => hit.has(id))
}

function byId(rows: readonly (string | null)[][]): Map<string, number> {
  return new Map(rows.map((row) => [row[0] as string, Number(row[1])]))
}

const itself = (id: string) => id
const idOf = ({ id }: { readonly id: string }) => id
const dataOf = ({ data }: { readonly data: string }) => data
const expiresAtOf = ({ expiresAt }: { readonly expiresAt: number }) => expiresAt
const ownerIdOf = ({ ownerId }: { readonly ownerId: string | null }) => ownerId
