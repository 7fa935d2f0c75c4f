import type { Database, StatementOptions } from '../../knex/database'
import type { Connection } from '../../knex/knex-client'
import { StatementEvents } from '../../knex/statement-events'
import type { Field } from './found-fields'
import { withLockWait } from './lock-wait'

/** The server's response to a statement that returns no rows, as far as it is used here. */
export interface Outcome {
  /**
   * For an UPDATE, depending on the connection's flag FOUND_ROWS, the rows that matched or the rows that changed. For an INSERT … ON
   * DUPLICATE KEY UPDATE, 1 for each inserted row, 2 for each changed row, and for each unchanged row 0 or, depending on the flag, 1.
   */
  readonly affectedRows: number
  /** The value of LAST_INSERT_ID(…) in the statement, or 0. */
  readonly insertId: number
}

/**
 * Given with each statement, so that the application's own settings of these do not apply. The older driver has no rows as arrays; its
 * objects keep the order of the columns, even where a column is called `1`, if the keys begin with the table.
 */
const ROWS: Readonly<Record<string, object>> = {
  mysql2: { rowsAsArray: true, nestTables: false, namedPlaceholders: false },
  mysql: { nestTables: '_' }
}

/** Values as the drivers convert them by default. The newer driver lets nothing but a function take the place of the application's. */
const asByDefault = (_field: unknown, convert: () => unknown) => convert()

/** A part of a statement, with its bindings. */
export interface Sql {
  readonly sql: string
  readonly bindings: readonly unknown[]
}

/** Characters that no character set and no SQL mode takes for anything else. */
const PLAIN = /^[A-Za-z0-9_-]+$/

/**
 * How a short text is sent so that the server reads it as UTF-8, whatever the character set of the connection is. A text with other than
 * plain characters is sent as hexadecimal digits: the drivers escape with backslashes, which do not escape under NO_BACKSLASH_ESCAPES, and
 * they send question marks for characters that the connection's character set lacks.
 */
export const TEXT = '_utf8mb4 ?'

export function text(value: string): string | Buffer {
  return PLAIN.test(value) ? value : Buffer.from(value)
}

/**
 * How a long text travels: in hexadecimal digits, for the same reasons. Twice as long as it is, and yet cheaper than anything in quotes: there
 * the server asks of each byte whether a character of several begins with it. In base64, sets were a fifth fewer.
 */
export function longText(value: string): Buffer {
  return Buffer.from(value)
}

/** A column of text in a select list, so that it comes whole, whatever the connection's character set is: see {@link textOf}. */
export function textColumn(column: string): string {
  return `CAST(${column} AS BINARY)`
}

/** A value of {@link textColumn}. */
export function textOf(value: unknown): string {
  return Buffer.isBuffer(value) ? value.toString('utf8') : String(value ?? '')
}

/** Runs a query; the rows come as arrays, in the order of the select list. */
export async function select(db: Database, { sql, bindings }: Sql): Promise<unknown[][]> {
  const [rows] = (await run(db, sql, bindings)) as [(unknown[] | object)[]]
  return rows.map((row) => (Array.isArray(row) ? row : Object.values(row)))
}

/** The columns that a query would give, as the driver describes them. */
export async function fieldsOf(db: Database, sql: string): Promise<Field[]> {
  const [, fields] = (await run(db, sql, [])) as [unknown, Field[]]
  return fields
}

/** Runs a query that locks the rows it finds. */
export function selectLocked(db: Database, { sql, bindings }: Sql): Promise<unknown[][]> {
  return withLockWait(db, sql, (bounded) => select(db, { sql: bounded, bindings }))
}

/** Runs a writing statement. */
export async function write(db: Database, { sql, bindings }: Sql): Promise<Outcome> {
  await refuseTooLarge(db, bindings)
  const [{ affectedRows, insertId }] = (await withLockWait(db, sql, (bounded) => run(db, bounded, bindings))) as [Outcome]
  // With the driver's setting bigNumberStrings it is text.
  return { affectedRows, insertId: Number(insertId) }
}

/** What both drivers offer of a connection, as far as it is used here. */
interface OwnConnection extends Connection {
  query(sql: string, answered: (error: Error | null, rows?: unknown, fields?: unknown) => void): void
}

/**
 * Runs a statement without bindings on a connection of its own, because it would commit the caller's transaction. It would also commit
 * Knex's lock of its migrations, and another process that migrates now would fail. If no connection is free, it runs in the transaction
 * after all.
 */
export async function writeBeside(db: Database, sql: string): Promise<void> {
  const { client } = db
  const isPoolOfKnex = (client.config as { connectionPool?: unknown }).connectionPool === undefined
  const connection = db.isTransaction && isPoolOfKnex ? await client.acquireRawConnection().catch(() => undefined) : undefined
  if (connection === undefined) {
    await write(db, { sql, bindings: [] })
    return
  }
  try {
    await runBeside(db, connection as OwnConnection, sql)
  } finally {
    await client.destroyRawConnection(connection)
  }
}

async function runBeside(db: Database, connection: OwnConnection, sql: string): Promise<void> {
  const events = db.isListenedTo ? new StatementEvents(db.client, connection, { sql, bindings: [] }) : undefined
  const answer = await new Promise<unknown[]>((resolve, reject) => {
    connection.query(sql, (error, ...response) => (error === null ? resolve(response) : reject(error)))
  }).catch((error) => {
    events?.failed(error)
    throw error
  })
  events?.succeeded(answer)
}

/** Runs a statement. It is committed when it returns, whatever the settings of the connection are. */
function run(db: Database, sql: string, bindings: readonly unknown[]): Promise<unknown> {
  const ordinary = hasOrdinarySettings(db)
  return ordinary === true ? db.run(sql, bindings, optionsOf(db)) : runUnlessOrdinary(db, sql, bindings, ordinary)
}

async function runUnlessOrdinary(
  db: Database,
  sql: string,
  bindings: readonly unknown[],
  ordinary: boolean | Promise<boolean>
): Promise<unknown> {
  const options = optionsOf(db)
  if (await ordinary) return db.run(sql, bindings, options)
  return db.use(async (connection) => {
    const send = (text: string) => db.runOn(connection, text, [], options)
    // Otherwise a read would begin a transaction too, and all later reads of this connection would see its snapshot.
    await send('START TRANSACTION')
    try {
      const answer = await db.runOn(connection, sql, bindings, options)
      await send('COMMIT AND NO CHAIN NO RELEASE')
      return answer
    } catch (error) {
      await send('ROLLBACK AND NO CHAIN NO RELEASE').catch((failure) => {
        connection.__knex__disposed = failure
      })
      throw error
    }
  })
}

function optionsOf({ client }: Database): StatementOptions {
  const { typeCast } = (client.connectionSettings ?? {}) as { typeCast?: unknown }
  return { driver: { ...ROWS[client.driverName], typeCast: typeof typeCast === 'function' ? asByDefault : true } }
}

/** Whether the connections of each pool are {@link hasOrdinarySettings ordinary}, or the question that is under way. */
const ordinaryPools = new WeakMap<object, boolean | Promise<boolean>>()

/**
 * False if a statement is not committed by itself (autocommit = 0), if COMMIT does more than commit (completion_type), and if BEGIN begins
 * a block of a program (sql_mode ORACLE), so that Knex can begin no transaction. It is read once for each pool, because an application
 * makes such settings on each connection. Inside a transaction of the application it does not matter.
 */
export function hasOrdinarySettings(db: Database): boolean | Promise<boolean> {
  if (db.isTransaction) return true
  const key = db.client.pool ?? db.client
  const known = ordinaryPools.get(key)
  if (known !== undefined) return known
  const asked = askForSettings(db)
  ordinaryPools.set(key, asked)
  asked.then(
    (answer) => ordinaryPools.set(key, answer),
    () => ordinaryPools.delete(key)
  )
  return asked
}

async function askForSettings(db: Database): Promise<boolean> {
  const sql = "SELECT @@autocommit = 1 AND @@completion_type = 'NO_CHAIN' AND @@sql_mode NOT LIKE '%ORACLE%' LIMIT 1"
  const [[row]] = (await db.run(sql, [], optionsOf(db))) as [(unknown[] | object)[]]
  return Number(Object.values(row ?? {})[0]) === 1
}

/** A statement longer than the server's `max_allowed_packet`. Looks like the server's own error, which mostly arrives as a cut connection. */
class PacketTooLargeError extends Error {
  readonly code = 'ER_NET_PACKET_TOO_LARGE'
  readonly errno = 1153
}

/** A server with a smaller limit than this is not worth asking for. */
const SMALL_BYTES = 65_536
/** For the text of the statement itself. */
const MARGIN_BYTES = 16_384

/** The limit of each database, as it was last seen. */
const limits = new WeakMap<object, number>()

/** Asks before it sends much: a server that gets more than it takes cuts the connection, often before it has said why. */
async function refuseTooLarge(db: Database, bindings: readonly unknown[]): Promise<void> {
  let bytes = MARGIN_BYTES
  for (const value of bindings) bytes += sizeOf(value)
  if (bytes <= SMALL_BYTES) return
  const key = db.client.connectionSettings ?? db.client.pool ?? db.client
  if (bytes <= (limits.get(key) ?? 0)) return
  // Also where the limit is known: it may have been raised.
  const [[limit] = []] = await select(db, { sql: 'SELECT @@max_allowed_packet LIMIT 1', bindings: [] })
  limits.set(key, Number(limit))
  if (bytes > Number(limit)) throw new PacketTooLargeError()
}

/** Bytes in the statement. */
function sizeOf(value: unknown): number {
  if (Buffer.isBuffer(value)) return value.length * 2
  return typeof value === 'string' ? value.length : 0
}
