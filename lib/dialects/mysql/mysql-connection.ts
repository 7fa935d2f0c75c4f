import type { Database, StatementOptions } from '../../knex/database'
import type { Connection } from '../../knex/knex-client'
import { StatementEvents } from '../../knex/statement-events'
import type { Field } from './found-fields'
import { withLockWait } from './lock-wait'

/** The server's response to a statement that returns no rows, as far as it is used here. */
export interface Outcome {
  /**
   * How many rows were affected. For an UPDATE, this is the rows that matched or the rows that changed, depending on the connection's flag
   * FOUND_ROWS. For an INSERT … ON DUPLICATE KEY UPDATE, an inserted row counts 1, a changed row counts 2, and an unchanged row counts 0 or
   * 1, depending on the same flag.
   */
  readonly affectedRows: number
  /** The value of LAST_INSERT_ID(…) in the statement, or 0. */
  readonly insertId: number
}

/**
 * Given with each statement, so that the application's settings of these do not apply. The older driver cannot return rows as arrays. Its
 * objects keep the order of the columns, even if a column is called `1`, because the keys begin with the table.
 */
const ROWS: Readonly<Record<string, object>> = {
  mysql2: { rowsAsArray: true, nestTables: false, namedPlaceholders: false },
  mysql: { nestTables: '_' }
}

/** Converts values as the drivers do by default. In the newer driver, only a function can replace the application's conversion. */
const asByDefault = (_field: unknown, convert: () => unknown) => convert()

/** A part of a statement, with its bindings. */
export interface Sql {
  readonly sql: string
  readonly bindings: readonly unknown[]
}

/** Characters that mean themselves in every character set and every SQL mode. */
const PLAIN = /^[A-Za-z0-9_-]+$/

/**
 * Returns how a short text is sent so that the server reads it as UTF-8, whatever the character set of the connection is. A text with other
 * than plain characters is sent as hexadecimal digits, for two reasons. The drivers escape with backslashes, and backslashes do not escape
 * under NO_BACKSLASH_ESCAPES. And the drivers send question marks for characters that the connection's character set lacks.
 */
export const TEXT = '_utf8mb4 ?'

export function text(value: string): string | Buffer {
  return PLAIN.test(value) ? value : Buffer.from(value)
}

/**
 * Returns how a long text is sent: as hexadecimal digits, for the same reasons. This is twice as long, and yet cheaper than quotes: for
 * each byte in quotes, the server checks whether it begins a character of several bytes. With base64, the store made a fifth fewer sets.
 */
export function longText(value: string): Buffer {
  return Buffer.from(value)
}

/** Selects a column of text so that it arrives whole, whatever the connection's character set is. {@link textOf} reads it. */
export function textColumn(column: string): string {
  return `CAST(${column} AS BINARY)`
}

/** Reads a value of {@link textColumn}. */
export function textOf(value: unknown): string {
  return Buffer.isBuffer(value) ? value.toString('utf8') : String(value ?? '')
}

/** Runs a query. The rows are arrays, in the order of the select list. */
export async function select(db: Database, { sql, bindings }: Sql): Promise<unknown[][]> {
  const [rows] = (await run(db, sql, bindings)) as [(unknown[] | object)[]]
  return rows.map((row) => (Array.isArray(row) ? row : Object.values(row)))
}

/** Returns the columns of a query, as the driver describes them. */
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
  // It is text if the driver has the setting bigNumberStrings.
  return { affectedRows, insertId: Number(insertId) }
}

/** What both drivers offer of a connection, as far as it is used here. */
interface OwnConnection extends Connection {
  query(sql: string, answered: (error: Error | null, rows?: unknown, fields?: unknown) => void): void
}

/**
 * Runs a statement without bindings on a connection of its own, because it would commit the caller's transaction. It would also commit the
 * lock that Knex holds for its migrations, and another process that migrates now would fail. If no connection is free, it runs in the
 * transaction all the same.
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

/** Runs a statement. It is committed when this returns, whatever the settings of the connection are. */
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
    // Otherwise a read would begin a transaction too, and all later reads of this connection would see the snapshot of that transaction.
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

/**
 * Whether the connections of each pool are {@link hasOrdinarySettings ordinary}. While the server is being asked, the promise of the
 * result.
 */
const ordinaryPools = new WeakMap<object, boolean | Promise<boolean>>()

/**
 * False in three cases: a statement is not committed by itself (autocommit = 0); COMMIT does more than commit (completion_type); BEGIN
 * begins a block of a program (sql_mode ORACLE), so Knex can begin no transaction. It is read once for each pool, because an application
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

/**
 * A statement longer than the server's `max_allowed_packet`. It looks like the server's own error, which mostly arrives as a connection
 * that was cut.
 */
class PacketTooLargeError extends Error {
  readonly code = 'ER_NET_PACKET_TOO_LARGE'
  readonly errno = 1153
}

/** The server is not asked for its limit before statements that are shorter than this, in bytes. */
const SMALL_BYTES = 65_536
/** The bytes that the text of the statement itself may take. */
const MARGIN_BYTES = 16_384

/** The limit of each database, when it was last read. */
const limits = new WeakMap<object, number>()

/**
 * Asks for the limit before it sends a long statement. A server that gets more than it takes cuts the connection, often before it has said
 * why.
 */
async function refuseTooLarge(db: Database, bindings: readonly unknown[]): Promise<void> {
  let bytes = MARGIN_BYTES
  for (const value of bindings) bytes += sizeOf(value)
  if (bytes <= SMALL_BYTES) return
  const key = db.client.connectionSettings ?? db.client.pool ?? db.client
  if (bytes <= (limits.get(key) ?? 0)) return
  // The limit is read again even if it is known, because it may have been raised.
  const [[limit] = []] = await select(db, { sql: 'SELECT @@max_allowed_packet LIMIT 1', bindings: [] })
  limits.set(key, Number(limit))
  if (bytes > Number(limit)) throw new PacketTooLargeError()
}

/** The number of bytes in the statement. */
function sizeOf(value: unknown): number {
  if (Buffer.isBuffer(value)) return value.length * 2
  return typeof value === 'string' ? value.length : 0
}
