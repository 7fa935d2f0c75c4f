import { createHash } from 'node:crypto'
import type { Database } from '../database'
import type { Dialect, RecordToPut, RecordToTouch, RecordToUpdate, SessionRecord, SessionStatements } from '../dialect'
import { quotedColumns, type TableDefinition } from '../table-definition'

/** How statements are sent and committed. */
export interface PostgresOptions {
  /** False where named prepared statements cannot be used: behind pgbouncer before 1.21 in transaction mode. */
  readonly prepare: boolean
  /** True: a touch waits for the disk, as every other write does. */
  readonly durableTouch: boolean
}

/** A statement with the name under which each connection prepares it once. */
interface Statement {
  readonly sql: string
  readonly driver: Readonly<Record<string, unknown>>
}

/** The same statement for one row and for many: one row needs no list, and costs the server less. */
interface RowStatement {
  readonly one: Statement
  readonly many: Statement
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

/** Columns of the rows `w` that a statement is given, with their types in the database. */
type GivenColumns = readonly (readonly [name: string, type: string])[]

const PUT_COLUMNS: GivenColumns = [
  ['id', 'text'],
  ['data', 'text'],
  ['expires_at', 'bigint'],
  ['owner_id', 'text'],
  ['created_at', 'bigint']
]
const UPDATE_COLUMNS: GivenColumns = [
  ['id', 'text'],
  ['revision', 'integer'],
  ['data', 'text'],
  ['expires_at', 'bigint'],
  ['owner_id', 'text']
]
const TOUCH_COLUMNS: GivenColumns = [
  ['id', 'text'],
  ['expires_at', 'bigint']
]

const NOW = '(extract(epoch FROM clock_timestamp()) * 1000)::bigint'
const HOUR = 3_600_000

export class PostgresStatements implements SessionStatements {
  private readonly loadRows: RowStatement
  private readonly insertRows: RowStatement
  private readonly putRows: RowStatement
  private readonly putLiveRows: RowStatement
  private readonly updateRows: RowStatement
  private readonly updateRowsWithExpiry: RowStatement
  private readonly touchRows: RowStatement
  private readonly touchRowsInTransaction: RowStatement
  private readonly removeRows: RowStatement
  private readonly pruneRows: Statement
  private readonly claimLease: Statement

  constructor(quote: Dialect['quote'], table: TableDefinition, { prepare, durableTouch }: PostgresOptions) {
    const name = quote(table.schemaName, table.tableName)
    const { id, data, expiresAt, expiresHour, revision, ownerId, createdAt } = quotedColumns(table, quote)
    const hourOf = (moment: string) => `(${moment} + ${HOUR - 1}) / ${HOUR}`
    const statement = (sql: string): Statement => {
      // A name may have two spaces in a row.
      const text = sql.replace(/("[^"]*")|\s+/g, (_, name) => name ?? ' ').trim()
      const named = prepare ? { name: `sessions_${createHash('sha256').update(text).digest('hex').slice(0, 16)}` } : {}
      return { sql: text, driver: { ...named, rowMode: 'array' } }
    }

    const rowStatement = (columns: GivenColumns, sql: (rows: string) => string): RowStatement => ({
      one: statement(sql(oneRow(columns))),
      many: statement(sql(manyRows(columns)))
    })
    const idStatement = (sql: (matching: string) => string): RowStatement => ({
      one: statement(sql('= ?')),
      many: statement(sql("= ANY(string_to_array(?, chr(30), ''))"))
    })

    this.loadRows = idStatement(
      (matching) => `SELECT ${id}, ${data}, ${expiresAt}, ${revision}, ${createdAt} FROM ${name} WHERE ${id} ${matching}`
    )

    const insert = (rows: string) => `
      INSERT INTO ${name} AS s (${id}, ${data}, ${expiresAt}, ${expiresHour}, ${revision}, ${ownerId}, ${createdAt})
      SELECT w.id, w.data, w.expires_at, ${hourOf('w.expires_at')}, 1, w.owner_id, w.created_at FROM ${rows}
      ON CONFLICT (${id})`
    const overwrite = (rows: string, condition = '') => `${insert(rows)} DO UPDATE SET
        ${data} = excluded.${data},
        ${expiresAt} = excluded.${expiresAt},
        ${expiresHour} = excluded.${expiresHour},
        ${revision} = s.${revision} + 1,
        ${ownerId} = excluded.${ownerId},
        ${createdAt} = CASE WHEN s.${expiresAt} > ? THEN s.${createdAt} ELSE excluded.${createdAt} END
      ${condition}
      RETURNING ${id}, ${revision}`
    this.insertRows = rowStatement(PUT_COLUMNS, (rows) => `${insert(rows)} DO NOTHING`)
    this.putRows = rowStatement(PUT_COLUMNS, (rows) => overwrite(rows))
    this.putLiveRows = rowStatement(PUT_COLUMNS, (rows) => overwrite(rows, `WHERE s.${expiresAt} > ?`))

    const update = (rows: string, expiry: string) => `
      UPDATE ${name} AS s SET
        ${data} = w.data,
        ${expiresAt} = ${expiry},
        ${expiresHour} = ${hourOf(expiry)},
        ${revision} = s.${revision} + 1,
        ${ownerId} = w.owner_id
        FROM ${rows}
       WHERE s.${id} = w.id AND s.${revision} = w.revision AND s.${expiresAt} > ?
      RETURNING s.${id}`
    const later = `GREATEST(s.${expiresAt}, w.expires_at)`
    this.updateRows = rowStatement(UPDATE_COLUMNS, (rows) => update(rows, later))
    this.updateRowsWithExpiry = rowStatement(UPDATE_COLUMNS, (rows) => update(rows, 'w.expires_at'))

    const touch = (rows: string) => `
      UPDATE ${name} AS s SET ${expiresAt} = ${later}, ${expiresHour} = ${hourOf(later)} FROM ${rows}
       WHERE s.${id} = w.id AND s.${expiresAt} > ?`
    this.touchRowsInTransaction = rowStatement(TOUCH_COLUMNS, touch)
    // Nobody needs the last touch of a server that crashed, and waiting for the disk is most of what a touch costs. The setting ends
    // with the statement; inside the caller's transaction it would end with that, so there it is left alone.
    this.touchRows = durableTouch
      ? this.touchRowsInTransaction
      : rowStatement(TOUCH_COLUMNS, (rows) => `${touch(rows)} AND (SELECT set_config('synchronous_commit', 'off', true)) IS NOT NULL`)

    this.removeRows = idStatement(
      (matching) => `
      UPDATE ${name} SET ${data} = '', ${expiresAt} = 0, ${expiresHour} = ?, ${revision} = ${revision} + 1, ${ownerId} = NULL
       WHERE ${id} ${matching} AND ${expiresAt} <> 0`
    )

    // The hour finds candidates through the index, the exact expiry decides. What another process has locked is left to it.
    this.pruneRows = statement(`
      DELETE FROM ${name} WHERE ${id} IN (
        SELECT ${id} FROM ${name}
         WHERE ${expiresHour} <= ${hourOf(`(${NOW} - ?::bigint)`)} AND ${expiresAt} <= ${NOW} - ?::bigint
         ORDER BY ${expiresHour} LIMIT ? FOR UPDATE SKIP LOCKED)`)

    this.claimLease = statement(`
      INSERT INTO ${name} AS s (${id}, ${data}, ${expiresAt}, ${expiresHour}, ${revision}, ${createdAt})
      VALUES (?, '', 0, 2147483647, 1, ${NOW} + ?::bigint)
      ON CONFLICT (${id}) DO UPDATE SET ${createdAt} = excluded.${createdAt} WHERE s.${createdAt} <= ${NOW}`)
  }

  async load(db: Database, ids: readonly string[]): Promise<SessionRecord[]> {
    const { rows } = await run(db, pick(this.loadRows, ids), [ids.join(SEPARATOR)])
    return rows.map(toRecord)
  }

  async insert(db: Database, records: readonly RecordToPut[]): Promise<void> {
    await run(db, pick(this.insertRows, records), putBindings(records))
  }

  async put(db: Database, records: readonly RecordToPut[], now: number): Promise<number[]> {
    const { rows } = await run(db, pick(this.putRows, records), [...putBindings(records), now])
    const revisions = byId(rows)
    return records.map(({ id }) => revisions.get(id) as number)
  }

  async putUnlessDead(db: Database, records: readonly RecordToPut[], now: number): Promise<(number | null)[]> {
    const { rows } = await run(db, pick(this.putLiveRows, records), [...putBindings(records), now, now])
    const revisions = byId(rows)
    return records.map(({ id }) => revisions.get(id) ?? null)
  }

  update(db: Database, records: readonly RecordToUpdate[], now: number): Promise<boolean[]> {
    return updated(db, this.updateRows, records, now)
  }

  updateWithExpiry(db: Database, records: readonly RecordToUpdate[], now: number): Promise<boolean[]> {
    return updated(db, this.updateRowsWithExpiry, records, now)
  }

  async touch(db: Database, records: readonly RecordToTouch[], now: number): Promise<number> {
    const statement = pick(db.isTransaction ? this.touchRowsInTransaction : this.touchRows, records)
    return (await run(db, statement, [join(records, 'id'), join(records, 'expiresAt'), now])).rowCount
  }

  async remove(db: Database, ids: readonly string[], pruneHour: number): Promise<void> {
    await run(db, pick(this.removeRows, ids), [pruneHour, ids.join(SEPARATOR)])
  }

  async prune(db: Database, graceMs: number, limit: number): Promise<number> {
    return (await run(db, this.pruneRows, [graceMs, graceMs, limit])).rowCount
  }

  async claim(db: Database, id: string, leaseMs: number): Promise<boolean> {
    return (await run(db, this.claimLease, [id, leaseMs])).rowCount > 0
  }
}

/** One row, from plain parameters. A text that is empty is a null, as it is in a list. */
function oneRow(columns: GivenColumns): string {
  const values = columns.map(([name, type]) => `NULLIF(?, '')::${type} AS ${name}`)
  return `(SELECT ${values.join(', ')}) AS w`
}

function manyRows(columns: GivenColumns): string {
  const lists = columns.map(([, type]) => `string_to_array(?, chr(30), '')${type === 'text' ? '' : `::${type}[]`}`)
  return `unnest(${lists.join(', ')}) AS w(${columns.map(([name]) => name).join(', ')})`
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

function toRecord([id, data, expiresAt, revision, createdAt]: unknown[]): SessionRecord {
  return {
    id: id as string,
    data: data as string,
    expiresAt: Number(expiresAt),
    revision: Number(revision),
    createdAt: Number(createdAt)
  }
}

function byId(rows: unknown[][]): Map<string, number> {
  return new Map(rows.map(([id, revision]) => [id as string, Number(revision)]))
}
