import type { Database } from '../database'
import {
  type Dialect,
  type Durability,
  type RecordToPut,
  type RecordToTouch,
  type RecordToUpdate,
  type SessionRecord,
  type SessionStatements,
  toRecord
} from '../dialect'
import type { TableDefinition } from '../table-definition'
import { type RowStatement, type SessionSql, type SqlFlavour, type Statement, sessionSql } from './postgres-sql'

/** How statements are sent and committed. */
export interface PostgresOptions {
  /** False where named prepared statements cannot be used: behind pgbouncer before 1.21 in transaction mode. */
  readonly prepare: boolean
  readonly durability: Durability
}

interface Result {
  readonly rows: unknown[][]
  readonly rowCount: number
}

/**
 * Many rows travel as one text parameter a column, joined by U+001E and split by the server: JavaScript arrays as parameters halve the
 * speed of writes, because the driver escapes each element. The separator occurs in no value: see `record/`.
 */
const SEPARATOR = '\u001e'

export class PostgresStatements implements SessionStatements {
  private readonly autocommit: SessionSql
  private readonly inTransaction: SessionSql

  constructor(quote: Dialect['quote'], table: TableDefinition, { prepare, durability }: PostgresOptions, flavour: SqlFlavour) {
    this.inTransaction = sessionSql(table, quote, prepare, 'all', flavour)
    this.autocommit = durability === 'all' ? this.inTransaction : sessionSql(table, quote, prepare, durability, flavour)
  }

  async load(db: Database, ids: readonly string[]): Promise<SessionRecord[]> {
    const { rows } = await run(db, pick(this.sql(db).loadRows, ids), [ids.join(SEPARATOR)])
    return rows.map(toRecord)
  }

  async insert(db: Database, records: readonly RecordToPut[]): Promise<void> {
    await run(db, pick(this.sql(db).insertRows, records), putBindings(records))
  }

  async put(db: Database, records: readonly RecordToPut[], now: number): Promise<number[]> {
    const { rows } = await run(db, pick(this.sql(db).putRows, records), [...putBindings(records), now])
    const revisions = byId(rows)
    return records.map(({ id }) => revisions.get(id) as number)
  }

  async putUnlessDead(db: Database, records: readonly RecordToPut[], now: number): Promise<(number | null)[]> {
    const { rows } = await run(db, pick(this.sql(db).putLiveRows, records), [...putBindings(records), now, now])
    const revisions = byId(rows)
    return records.map(({ id }) => revisions.get(id) ?? null)
  }

  update(db: Database, records: readonly RecordToUpdate[], now: number): Promise<boolean[]> {
    return updated(db, this.sql(db).updateRows, records, now)
  }

  updateWithExpiry(db: Database, records: readonly RecordToUpdate[], now: number): Promise<boolean[]> {
    return updated(db, this.sql(db).updateRowsWithExpiry, records, now)
  }

  async touch(db: Database, records: readonly RecordToTouch[], now: number): Promise<number> {
    const statement = pick(this.sql(db).touchRows, records)
    return (await run(db, statement, [join(records, 'id'), join(records, 'expiresAt'), now])).rowCount
  }

  async remove(db: Database, ids: readonly string[], pruneHour: number): Promise<void> {
    await run(db, pick(this.sql(db).removeRows, ids), [pruneHour, ids.join(SEPARATOR)])
  }

  async prune(db: Database, graceMs: number, limit: number): Promise<number> {
    return (await run(db, this.sql(db).pruneRows, [graceMs, graceMs, limit])).rowCount
  }

  async claim(db: Database, id: string, leaseMs: number): Promise<boolean> {
    return (await run(db, this.sql(db).claimLease, [id, leaseMs])).rowCount > 0
  }

  private sql(db: Database): SessionSql {
    return db.isTransaction ? this.inTransaction : this.autocommit
  }
}

function pick({ one, many }: RowStatement, rows: readonly unknown[]): Statement {
  return rows.length === 1 ? one : many
}

async function run(db: Database, { sql, driver }: Statement, bindings: readonly unknown[]): Promise<Result> {
  return (await db.run(sql, bindings, { driver })) as Result
}

/** One column of many rows as one text. Null and '' are the same: null. */
function join<T>(records: readonly T[], field: keyof T): string {
  let text = ''
  for (let index = 0; index < records.length; index++) {
    if (index > 0) text += SEPARATOR
    text += (records[index] as T)[field] ?? ''
  }
  return text
}

function putBindings(records: readonly RecordToPut[]): string[] {
  return [join(records, 'id'), join(records, 'data'), join(records, 'expiresAt'), join(records, 'ownerId'), join(records, 'createdAt')]
}

async function updated(db: Database, statement: RowStatement, records: readonly RecordToUpdate[], now: number): Promise<boolean[]> {
  const { rows } = await run(db, pick(statement, records), [
    join(records, 'id'),
    join(records, 'revision'),
    join(records, 'data'),
    join(records, 'expiresAt'),
    join(records, 'ownerId'),
    now
  ])
  const hit = new Set(rows.map(([id]) => id))
  return records.map(({ id }) => hit.has(id))
}

function byId(rows: unknown[][]): Map<string, number> {
  return new Map(rows.map(([id, revision]) => [id as string, Number(revision)]))
}
