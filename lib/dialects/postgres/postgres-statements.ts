import { createHash } from 'node:crypto'
import type { Database } from '../database'
import type { Dialect, RecordToPut, RecordToTouch, RecordToUpdate, SessionRecord, SessionStatements } from '../dialect'
import { quotedColumns, type TableDefinition } from '../table-definition'

/** A statement with the name under which each connection prepares it once. */
interface Statement {
  readonly sql: string
  readonly driver: Readonly<Record<string, unknown>>
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
const list = (type = '') => `string_to_array(?, chr(30), '')${type && `::${type}[]`}`

const NOW = '(extract(epoch FROM clock_timestamp()) * 1000)::bigint'
const HOUR = 3_600_000

export class PostgresStatements implements SessionStatements {
  private readonly loadRows: Statement
  private readonly insertRows: Statement
  private readonly putRows: Statement
  private readonly putLiveRows: Statement
  private readonly updateRows: Statement
  private readonly updateRowsWithExpiry: Statement
  private readonly touchRows: Statement
  private readonly removeRows: Statement
  private readonly pruneRows: Statement
  private readonly claimLease: Statement

  constructor(quote: Dialect['quote'], table: TableDefinition, prepare: boolean) {
    const name = quote(table.schemaName, table.tableName)
    const { id, data, expiresAt, expiresHour, revision, ownerId, createdAt } = quotedColumns(table, quote)
    const hourOf = (moment: string) => `(${moment} + ${HOUR - 1}) / ${HOUR}`
    const statement = (sql: string): Statement => {
      const text = sql.replace(/\s+/g, ' ').trim()
      const named = prepare ? { name: `sessions_${createHash('sha256').update(text).digest('hex').slice(0, 16)}` } : {}
      return { sql: text, driver: { ...named, rowMode: 'array' } }
    }

    this.loadRows = statement(`SELECT ${id}, ${data}, ${expiresAt}, ${revision}, ${createdAt} FROM ${name} WHERE ${id} = ANY(${list()})`)

    const insert = `
      INSERT INTO ${name} AS s (${id}, ${data}, ${expiresAt}, ${expiresHour}, ${revision}, ${ownerId}, ${createdAt})
      SELECT w.id, w.data, w.expires_at, ${hourOf('w.expires_at')}, 1, w.owner_id, w.created_at
        FROM unnest(${list()}, ${list()}, ${list('bigint')}, ${list()}, ${list('bigint')}) AS w(id, data, expires_at, owner_id, created_at)
      ON CONFLICT (${id})`
    const overwrite = (condition: string) => `${insert} DO UPDATE SET
        ${data} = excluded.${data},
        ${expiresAt} = excluded.${expiresAt},
        ${expiresHour} = excluded.${expiresHour},
        ${revision} = s.${revision} + 1,
        ${ownerId} = excluded.${ownerId},
        ${createdAt} = CASE WHEN s.${expiresAt} > ? THEN s.${createdAt} ELSE excluded.${createdAt} END
      ${condition}
      RETURNING ${id}, ${revision}`
    this.insertRows = statement(`${insert} DO NOTHING`)
    this.putRows = statement(overwrite(''))
    this.putLiveRows = statement(overwrite(`WHERE s.${expiresAt} > ?`))

    const update = (expiry: string) => `
      UPDATE ${name} AS s SET
        ${data} = w.data,
        ${expiresAt} = ${expiry},
        ${expiresHour} = ${hourOf(expiry)},
        ${revision} = s.${revision} + 1,
        ${ownerId} = w.owner_id
        FROM unnest(${list()}, ${list('integer')}, ${list()}, ${list('bigint')}, ${list()}) AS w(id, revision, data, expires_at, owner_id)
       WHERE s.${id} = w.id AND s.${revision} = w.revision AND s.${expiresAt} > ?
      RETURNING s.${id}`
    const later = `GREATEST(s.${expiresAt}, w.expires_at)`
    this.updateRows = statement(update(later))
    this.updateRowsWithExpiry = statement(update('w.expires_at'))

    this.touchRows = statement(`
      UPDATE ${name} AS s SET ${expiresAt} = ${later}, ${expiresHour} = ${hourOf(later)}
        FROM unnest(${list()}, ${list('bigint')}) AS w(id, expires_at)
       WHERE s.${id} = w.id AND s.${expiresAt} > ?`)

    this.removeRows = statement(`
      UPDATE ${name} SET ${data} = '', ${expiresAt} = 0, ${expiresHour} = ?, ${revision} = ${revision} + 1, ${ownerId} = NULL
       WHERE ${id} = ANY(${list()}) AND ${expiresAt} <> 0`)

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
    const { rows } = await run(db, this.loadRows, [ids.join(SEPARATOR)])
    return rows.map(([id, data, expiresAt, revision, createdAt]) => ({
      id: id as string,
      data: data as string,
      expiresAt: Number(expiresAt),
      revision: Number(revision),
      createdAt: Number(createdAt)
    }))
  }

  async insert(db: Database, records: readonly RecordToPut[]): Promise<void> {
    await run(db, this.insertRows, putBindings(records))
  }

  async put(db: Database, records: readonly RecordToPut[], now: number): Promise<number[]> {
    const { rows } = await run(db, this.putRows, [...putBindings(records), now])
    const revisions = byId(rows)
    return records.map(({ id }) => revisions.get(id) as number)
  }

  async putUnlessDead(db: Database, records: readonly RecordToPut[], now: number): Promise<(number | null)[]> {
    const { rows } = await run(db, this.putLiveRows, [...putBindings(records), now, now])
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
    const { rowCount } = await run(db, this.touchRows, [join(records, 'id'), join(records, 'expiresAt'), now])
    return rowCount
  }

  async remove(db: Database, ids: readonly string[], pruneHour: number): Promise<void> {
    await run(db, this.removeRows, [pruneHour, ids.join(SEPARATOR)])
  }

  async prune(db: Database, graceMs: number, limit: number): Promise<number> {
    return (await run(db, this.pruneRows, [graceMs, graceMs, limit])).rowCount
  }

  async claim(db: Database, id: string, leaseMs: number): Promise<boolean> {
    return (await run(db, this.claimLease, [id, leaseMs])).rowCount > 0
  }
}

async function run(db: Database, { sql, driver }: Statement, bindings: readonly unknown[]): Promise<Result> {
  return (await db.run(sql, bindings, { driver })) as Result
}

/** One column of many rows as one text. Null and '' are the same to `string_to_array(…, '')`: null. */
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

async function updated(db: Database, statement: Statement, records: readonly RecordToUpdate[], now: number): Promise<boolean[]> {
  const { rows } = await run(db, statement, [
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
