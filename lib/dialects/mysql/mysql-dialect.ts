import { DatabaseError } from '../../database-errors'
import { ForeignTableError } from '../../errors'
import type { Database } from '../../knex/database'
import { failureOfConnecting } from '../../knex/failed-connecting'
import type { StatementEnding } from '../../knex/statement-ending'
import {
  type Diagnosis,
  type Dialect,
  driverCode,
  type ForeignOrder,
  type IndexUse,
  isSameFolded,
  NETWORK_CODES,
  type Privileges,
  type SessionStatements,
  type SettingProblem
} from '../dialect'
import type { FoundTable } from '../found-table'
import { displayName, quotedColumns, type TableDefinition } from '../table-definition'
import { foundTable, ONE_CHARACTER } from './found-fields'
import { galeraProblems } from './galera'
import { countedUses } from './index-uses'
import { killQueries } from './kill-query'
import { fieldsOf, type Sql, select, TEXT, text, textColumn, textOf, write, writeBeside } from './mysql-connection'
import { MYSQL_EXPLANATIONS, NO_INNODB } from './mysql-explanations'
import { MysqlStatements } from './mysql-statements'

/** The longest name of a table, schema or column, in characters. */
const MAX_NAME = 64

/**
 * The diagnoses by the server's number. The number is the same in MariaDB and MySQL. So is the name of an error, but an older driver may
 * not know the name.
 */
const BY_NUMBER: ReadonlyMap<number, Diagnosis> = new Map(
  Object.entries({
    // ER_BAD_DB_ERROR, ER_NO_SUCH_TABLE
    'table-missing': [1049, 1146],
    // ER_BAD_FIELD_ERROR: the table was changed, or another one has its name now.
    'table-perhaps-missing': [1054],
    // ER_CHECKREAD (MariaDB: the row changed since the transaction's snapshot), ER_ERROR_DURING_COMMIT (a Galera cluster refuses it),
    // ER_LOCK_DEADLOCK, ER_TABLE_DEF_CHANGED, ER_XA_RBTIMEOUT, ER_XA_RBDEADLOCK, ER_NEED_REPREPARE, ER_TOO_MANY_CONCURRENT_TRXS,
    // ER_TRANSACTION_ROLLBACK_DURING_COMMIT (group replication)
    transient: [1020, 1180, 1213, 1412, 1613, 1614, 1615, 1637, 3101],
    // ER_BAD_NULL_ERROR, ER_DUP_ENTRY, ER_NO_DEFAULT_FOR_FIELD, ER_ROW_IS_REFERENCED_2, ER_NO_REFERENCED_ROW_2, ER_CHECK_CONSTRAINT_VIOLATED (MySQL),
    // ER_CONSTRAINT_FAILED (MariaDB)
    constraint: [1048, 1062, 1364, 1451, 1452, 3819, 4025],
    // ER_LOCK_WAIT_TIMEOUT
    locked: [1205],
    // ER_QUERY_INTERRUPTED (KILL QUERY), ER_STATEMENT_TIMEOUT (MariaDB: max_statement_time), ER_QUERY_TIMEOUT (MySQL: max_execution_time)
    ended: [1317, 1969, 3024],
    // ER_CON_COUNT_ERROR, ER_UNKNOWN_COM_ERROR (a Galera node that is not part of the cluster now), ER_SERVER_SHUTDOWN,
    // ER_NORMAL_SHUTDOWN, ER_SHUTDOWN_COMPLETE, ER_FORCING_CLOSE, ER_HOST_IS_BLOCKED, ER_ABORTING_CONNECTION, ER_NET_READ_ERROR,
    // ER_NET_READ_INTERRUPTED, ER_NET_ERROR_ON_WRITE, ER_NET_WRITE_INTERRUPTED, ER_TOO_MANY_USER_CONNECTIONS, ER_USER_LIMIT_REACHED,
    // ER_CONNECTION_KILLED (MariaDB), CR_SERVER_GONE_ERROR, CR_SERVER_LOST, ER_SERVER_OFFLINE_MODE, ER_RUN_HOOK_ERROR (a group of servers
    // that is not whole refuses the commit), ER_GR_HOLD_… and ER_GRP_TRX_CONSISTENCY_… (a node of a group refuses to begin, since it may not
    // have what the others have), ER_CLIENT_INTERACTION_TIMEOUT
    unreachable: [
      1040, 1047, 1053, 1077, 1079, 1080, 1129, 1152, 1158, 1159, 1160, 1161, 1203, 1226, 1927, 2006, 2013, 3032, 3100, 3781, 3782, 3783,
      3796, 3797, 3798, 3799, 4031
    ],
    // ER_OPTION_PREVENTS_STATEMENT (--read-only), ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION, ER_READ_ONLY_MODE, ER_INNODB_READ_ONLY
    'read-only': [1290, 1792, 1836, 1874],
    // ER_DBACCESS_DENIED_ERROR, ER_ACCESS_DENIED_ERROR, ER_TABLEACCESS_DENIED_ERROR, ER_COLUMNACCESS_DENIED_ERROR,
    // ER_SPECIFIC_ACCESS_DENIED_ERROR, ER_ACCESS_DENIED_NO_PASSWORD_ERROR
    denied: [1044, 1045, 1142, 1143, 1227, 1698],
    // ER_HOST_NOT_PRIVILEGED, ER_NOT_SUPPORTED_AUTH_MODE: of the connection, but another one is refused as well. ER_IS_A_VIEW (MariaDB), for
    // which the drivers have no code.
    other: [1130, 1251, 1965],
    // ER_TOO_BIG_ROWSIZE, ER_NET_PACKET_TOO_LARGE, ER_WARN_ALLOWED_PACKET_OVERFLOWED
    'too-large': [1118, 1153, 1301]
  } satisfies Partial<Record<Diagnosis, number[]>>).flatMap(([diagnosis, numbers]) =>
    numbers.map((number) => [number, diagnosis as Diagnosis])
  )
)

/** The errors of a DROP TABLE for a view: ER_BAD_TABLE_ERROR, ER_WRONG_OBJECT, and on MariaDB ER_IS_A_VIEW. */
const NO_TABLE = new Set<unknown>([1051, 1347, 1965])
/** ER_OPTION_PREVENTS_STATEMENT */
const OPTION_PREVENTS_STATEMENT = 1290
const PRIVILEGES: ReadonlySet<string> = new Set(['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'CREATE'])

/** MariaDB and MySQL, by the same statements. */
export class MysqlDialect implements Dialect {
  readonly name = 'mysql'
  readonly isInProcess = false
  readonly maxBatch = 128
  readonly inFlight = { reads: 4, writes: 2, spare: 2 }
  readonly explanations = MYSQL_EXPLANATIONS
  readonly sizeLimit = 'max_allowed_packet of the server, in which a session takes twice its size'
  /** A CREATE TABLE commits the transaction around it. */
  readonly supportsUnlogged = false
  readonly createsInTransaction = false

  refusal(name: string): string | undefined {
    if (name.length > MAX_NAME) return `at most ${MAX_NAME} characters long`
    if (name.endsWith(' ')) return 'a name that does not end with a space'
    return /[\ud800-\udfff]/.test(name) ? 'a name without characters beyond U+FFFF (emoji and the like)' : undefined
  }

  quote(...path: (string | undefined)[]): string {
    return path
      .filter((name) => name !== undefined)
      .map((name) => `\`${name.replaceAll('`', '``')}\``)
      .join('.')
  }

  characters(expression: string): string {
    return `char_length(${expression})`
  }

  readonly text = textColumn

  readonly ending: StatementEnding = { ...killQueries, isLost: (error) => this.diagnose(error) === 'unreachable' }

  /** A DATETIME has no time zone. connect-session-knex, the only one that writes some, writes UTC. */
  epochMs(column: string): string {
    return `TIMESTAMPDIFF(MICROSECOND, '1970-01-01', ${column}) DIV 1000`
  }

  foreignText(column: string): string {
    return textColumn(`CONVERT(${column} USING utf8mb4)`)
  }

  async foreignOrder(db: Database, table: string, column: string): Promise<ForeignOrder> {
    const [[charset, collation] = []] = await this.select(db, `SELECT CHARSET(${column}), COLLATION(${column}) FROM ${table} LIMIT 1`, [])
    // By another collation than the column's own, a page would not begin where the last one ended, and no index would find it.
    const given = charset === 'binary' ? 'UNHEX(?)' : `CONVERT(UNHEX(?) USING ${charset}) COLLATE ${collation}`
    return { place: [`HEX(CAST(${column} AS BINARY))`], after: (place) => ({ sql: `${column} > ${given}`, bindings: place }) }
  }

  async select(db: Database, sql: string, bindings: readonly unknown[]): Promise<unknown[][]> {
    const rows = await select(db, withTexts(sql, bindings))
    return rows.map((row) => row.map((value) => (Buffer.isBuffer(value) ? textOf(value) : value)))
  }

  async change(db: Database, sql: string, bindings: readonly unknown[]): Promise<number> {
    return (await write(db, withTexts(sql, bindings))).affectedRows
  }

  /** An estimate of the server, from the last time it looked. */
  async size(db: Database, { tableName, schemaName }: TableDefinition): Promise<number | undefined> {
    const sql = `SELECT data_length + index_length FROM information_schema.tables
      WHERE table_schema = COALESCE(?, DATABASE()) AND table_name = ? LIMIT 1`
    const [[bytes] = []] = await this.select(db, sql, [schemaName ?? null, tableName])
    return bytes === null || bytes === undefined ? undefined : Number(bytes)
  }

  indexUses(db: Database, table: TableDefinition): Promise<readonly IndexUse[] | undefined> {
    return countedUses((sql, bindings) => this.select(db, sql, bindings), table)
  }

  settingProblems(db: Database): Promise<readonly SettingProblem[]> {
    return galeraProblems((sql, bindings) => this.select(db, sql, bindings))
  }

  async describe(db: Database, table: TableDefinition): Promise<FoundTable | null> {
    try {
      // It does not read information_schema, which hides a table that the user may not use, and compares names loosely. It does not use
      // SHOW COLUMNS either: in a transaction MySQL then keeps a lock on the name, even of a table that does not exist, and creating this
      // table would wait. Also, sql_select_limit cuts the result of SHOW COLUMNS.
      const fields = await fieldsOf(db, `SELECT *, ${ONE_CHARACTER} FROM ${this.quote(table.schemaName, table.tableName)} LIMIT 0`)
      return foundTable(fields, table.columns.id)
    } catch (error) {
      if (this.diagnose(error) === 'table-missing') return null
      throw error
    }
  }

  readonly isSameColumn = isSameFolded

  creation(table: TableDefinition): string[] {
    const name = this.quote(table.schemaName, table.tableName)
    const { id, data, expiresAt, expiresHour, revision, ownerId, createdAt, lastSeenAt } = quotedColumns(table, this.quote)
    // One statement with the indexes, and so all or nothing. The server names the indexes. Ids are compared byte for byte, with trailing
    // spaces; the two servers have different names for that collation. A server older than both comments finds no collation, and refuses
    // the statement. The SQL mode: without it, a server that enforces another engine would silently use that one, which may have no
    // transactions.
    return [
      `/*M! SET STATEMENT sql_mode = 'NO_ENGINE_SUBSTITUTION' FOR */ CREATE TABLE ${name} (
  ${id} varchar(255) NOT NULL,
  ${data} longtext NOT NULL,
  ${expiresAt} bigint NOT NULL,
  ${expiresHour} int NOT NULL,
  ${revision} int NOT NULL,
  ${ownerId} varchar(255) NULL,
  ${createdAt} bigint NOT NULL,
  ${lastSeenAt} bigint NOT NULL,
  PRIMARY KEY (${id}),
  INDEX (${expiresHour}),
  INDEX (${ownerId})
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE /*!80017 utf8mb4_0900_bin *//*M! utf8mb4_nopad_bin */`
    ]
  }

  async create(db: Database, table: TableDefinition): Promise<void> {
    try {
      for (const sql of this.creation(table)) await writeBeside(db, sql)
    } catch (error) {
      // A read-only server gives the same code as a server that has an option against the engine.
      if ((error as { errno?: unknown } | null)?.errno !== OPTION_PREVENTS_STATEMENT || (await this.isReadOnly(db))) throw error
      throw new DatabaseError('table creation', this.name, driverCode(error), NO_INNODB)
    }
  }

  private async isReadOnly(db: Database): Promise<boolean> {
    const [[readOnly] = []] = await select(db, { sql: 'SELECT @@global.read_only LIMIT 1', bindings: [] })
    return Number(readOnly) === 1
  }

  async drop(db: Database, table: TableDefinition): Promise<void> {
    try {
      // It does not say IF EXISTS, because then the server would ignore a view.
      await write(db, { sql: `DROP TABLE ${this.quote(table.schemaName, table.tableName)}`, bindings: [] })
    } catch (error) {
      if (!NO_TABLE.has((error as { errno?: unknown } | null)?.errno)) throw error
      if ((await this.describe(db, table)) === null) return
      throw new ForeignTableError(displayName(table), { missing: [], faults: ['it is a view'], found: [] })
    }
  }

  statements(table: TableDefinition): SessionStatements {
    return new MysqlStatements(this.quote, table)
  }

  grantCreate({ schemaName }: TableDefinition): string {
    return `GRANT CREATE ON ${schemaName === undefined ? 'the_database' : this.quote(schemaName)}.* TO …`
  }

  async privileges(db: Database, _table: TableDefinition, error: unknown): Promise<Privileges> {
    const [[user] = []] = await this.select(db, `SELECT CURRENT_USER() LIMIT 1`, [])
    const [name, host] = String(user).split(/@(?=[^@]*$)/)
    // The server names the privileges in its own language, but with the words of a GRANT.
    const { sqlMessage } = error as { sqlMessage?: unknown }
    const [named = ''] = /^[A-Z, ]+(?= command)/.exec(String(sqlMessage)) ?? []
    const lacking = named.split(', ').filter((privilege) => PRIVILEGES.has(privilege))
    return { user: `${quotedText(name)}@${quotedText(host)}`, lacking }
  }

  diagnose(error: unknown): Diagnosis {
    const { errno, sqlState, fatal } = (error ?? {}) as { errno?: unknown; sqlState?: unknown; fatal?: unknown }
    const byNumber = typeof errno === 'number' ? BY_NUMBER.get(errno) : undefined
    // These errors are about the user and the database of the connection. They say nothing about the table.
    const isOfTable = byNumber === 'table-missing' || byNumber === 'denied'
    if (byNumber !== undefined) return isOfTable && failureOfConnecting(error) !== undefined ? 'other' : byNumber
    // Errors that end the connection, whether their number is known or not. The drivers mark them, or the class of their state is
    // connection_exception.
    if (fatal === true || (typeof sqlState === 'string' && sqlState.startsWith('08'))) return 'unreachable'
    const code = driverCode(error)
    // Errors without a code are the driver's own, for connections that were closed meanwhile.
    if (code === undefined || NETWORK_CODES.has(code) || code.startsWith('PROTOCOL_')) return 'unreachable'
    return 'other'
  }
}

/** Each text among the bindings, as the server reads it whatever the settings of the connection are. */
function withTexts(sql: string, bindings: readonly unknown[]): Sql {
  let index = 0
  return {
    sql: sql.replaceAll('?', () => (typeof bindings[index++] === 'string' ? TEXT : '?')),
    bindings: bindings.map((value) => (typeof value === 'string' ? text(value) : value))
  }
}

function quotedText(text = ''): string {
  return `'${text.replaceAll("'", "''")}'`
}
