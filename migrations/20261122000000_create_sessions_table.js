'use strict'

// Makes the sessions table of knex-session-store, layout 1. Released, and so never changed: knex remembers it by its name, and it has to
// mean the same in ten years. That is why it needs nothing but the Knex it is given. It may run before the store, after it or beside it:
// whoever is first makes the table, and either way it is the same table.
//
// Its options come from the knexfile: userParams: { sessionsTable: { tableName, schemaName, columns } }

const COLUMNS = {
  id: 'id',
  data: 'data',
  expiresAt: 'expires_at',
  expiresHour: 'expires_hour',
  revision: 'revision',
  ownerId: 'owner_id',
  createdAt: 'created_at',
  lastSeenAt: 'last_seen_at'
}

exports.up = async (knex) => {
  const table = sessionsTable(knex)
  for (let tries = 1; !(await table.isThere()); tries++) {
    try {
      await table.create()
    } catch (error) {
      // Of several that make it at once all but one fail. That somebody did it is success, and what the loop looks for.
      if (tries === 3 && !(await table.isThere())) throw error
    }
  }
}

exports.down = async (knex) => {
  await sessionsTable(knex).drop()
}

function sessionsTable(knex) {
  const { driverName } = knex.client
  if (!Object.hasOwn(DATABASES, driverName)) {
    throw new Error(`the sessions table cannot be made by the knex client ${driverName}, only by ${Object.keys(DATABASES).join(', ')}`)
  }
  const given = knex.userParams.sessionsTable ?? {}
  refuseUnknown(given, ['tableName', 'schemaName', 'columns'], '')
  refuseUnknown(given.columns ?? {}, Object.keys(COLUMNS), '.columns')
  const { tableName = 'sessions', schemaName } = given
  const columns = Object.fromEntries(Object.entries(COLUMNS).map(([key, name]) => [key, given.columns?.[key] ?? name]))
  if (new Set(Object.values(columns)).size < Object.keys(columns).length) {
    throw new Error('userParams.sessionsTable.columns gives two columns one name')
  }
  return DATABASES[driverName](knex, { tableName, schemaName, columns })
}

function refuseUnknown(options, known, path) {
  const unknown = Object.keys(options).find((name) => !known.includes(name))
  if (unknown !== undefined) {
    throw new Error(`userParams.sessionsTable${path} has the unknown option ${JSON.stringify(unknown)} (options: ${known.join(', ')})`)
  }
}

const DATABASES = {
  pg: postgres,
  cockroachdb: cockroach,
  mysql,
  mysql2: mysql,
  'better-sqlite3': sqlite,
  sqlite3: sqlite
}

function postgres(knex, names) {
  const { table, columns } = quoted(names, doubleQuoted, isPostgresName)
  const create = (compression) =>
    // Nested: a failure would otherwise end the transaction that the migration is in. One by one: not every driver takes several at once.
    knex.transaction(async (trx) => {
      await trx.raw(`CREATE TABLE ${table} (
  ${columns.id} varchar(255) COLLATE "C" NOT NULL PRIMARY KEY,
  ${columns.data} text${compression} NOT NULL,
  ${columns.expiresAt} bigint NOT NULL,
  ${columns.expiresHour} integer NOT NULL,
  ${columns.revision} integer NOT NULL,
  ${columns.ownerId} varchar(255) NULL,
  ${columns.createdAt} bigint NOT NULL,
  ${columns.lastSeenAt} bigint NOT NULL
) WITH (fillfactor = 85)`)
      await trx.raw(`CREATE INDEX ON ${table} USING hash (${columns.id})`)
      await trx.raw(`CREATE INDEX ON ${table} (${columns.expiresHour})`)
      await trx.raw(`CREATE INDEX ON ${table} (${columns.ownerId}) WHERE ${columns.ownerId} IS NOT NULL`)
    })
  return {
    isThere: async () => (await raw(knex, 'SELECT 1 WHERE to_regclass(?) IS NOT NULL', [table])).rows.length > 0,
    create: async () => {
      try {
        await create(' COMPRESSION lz4')
      } catch (error) {
        // A server before 14, or built without it: feature_not_supported, syntax_error.
        if (error.code !== '0A000' && error.code !== '42601') throw error
        await create('')
      }
    },
    drop: () => knex.raw(`DROP TABLE IF EXISTS ${table}`)
  }
}

// Written from its documentation. One statement, which is all or nothing, and no savepoint, which could not be rolled back over it.
function cockroach(knex, names) {
  const { table, columns } = quoted(names, doubleQuoted, isPostgresName)
  return {
    isThere: async () => {
      const sql = `SELECT 1 FROM information_schema.tables
        WHERE table_schema = COALESCE(?::text, current_schema()::text) AND table_name = ?::text`
      return (await raw(knex, sql, [names.schemaName ?? null, names.tableName])).rows.length > 0
    },
    create: () =>
      knex.raw(`CREATE TABLE ${table} (
  ${columns.id} varchar(255) NOT NULL PRIMARY KEY,
  ${columns.data} text NOT NULL,
  ${columns.expiresAt} bigint NOT NULL,
  ${columns.expiresHour} int4 NOT NULL,
  ${columns.revision} int4 NOT NULL,
  ${columns.ownerId} varchar(255) NULL,
  ${columns.createdAt} bigint NOT NULL,
  ${columns.lastSeenAt} bigint NOT NULL,
  INDEX (${columns.expiresHour}),
  INDEX (${columns.ownerId}) WHERE ${columns.ownerId} IS NOT NULL
)`),
    drop: () => knex.raw(`DROP TABLE IF EXISTS ${table}`)
  }
}

function sqlite(knex, names) {
  const { tableName, schemaName } = names
  const { table, columns, quote } = quoted(names, doubleQuoted, isSqliteName)
  const inSchema = (name) => (schemaName === undefined ? doubleQuoted(name) : `${quote(schemaName)}.${doubleQuoted(name)}`)
  // An index keeps its name when its table is renamed: that of a table which was put aside must not be in the way of the new one.
  const indexName = async (trx, column) => {
    const taken = new Set((await raw(trx, `SELECT name FROM ${inSchema('sqlite_master')}`)).map(({ name }) => name.toLowerCase()))
    const name = `${tableName}_${column}_index`
    let free = name
    for (let number = 1; taken.has(free.toLowerCase()); number++) free = `${name}${number}`
    return inSchema(free)
  }
  return {
    isThere: async () => {
      const inside = schemaName === undefined ? [tableName] : [tableName, schemaName]
      return (await raw(knex, `SELECT 1 FROM pragma_table_info(${inside.map(() => '?').join(', ')})`, inside)).length > 0
    },
    create: () =>
      knex.transaction(async (trx) => {
        await trx.raw(`CREATE TABLE ${table} (
  ${columns.id} varchar(255) NOT NULL PRIMARY KEY,
  ${columns.data} text NOT NULL,
  ${columns.expiresAt} bigint NOT NULL,
  ${columns.expiresHour} integer NOT NULL,
  ${columns.revision} integer NOT NULL,
  ${columns.ownerId} varchar(255) NULL,
  ${columns.createdAt} bigint NOT NULL,
  ${columns.lastSeenAt} bigint NOT NULL
)`)
        await trx.raw(`CREATE INDEX ${await indexName(trx, 'expires_hour')} ON ${quote(tableName)} (${columns.expiresHour})`)
        const { ownerId } = columns
        await trx.raw(`CREATE INDEX ${await indexName(trx, 'owner_id')} ON ${quote(tableName)} (${ownerId}) WHERE ${ownerId} IS NOT NULL`)
      }),
    drop: () => knex.raw(`DROP TABLE IF EXISTS ${table}`)
  }
}

function mysql(knex, names) {
  const { table, columns } = quoted(names, backtickQuoted, isMysqlName)
  return {
    isThere: async () => {
      try {
        // Not from information_schema, which compares names loosely. Not by SHOW COLUMNS: in a transaction MySQL then keeps a lock on the
        // name, also of a table that is not there, and creating it would wait.
        await raw(knex, `SELECT 1 FROM ${table} LIMIT 0`)
        return true
      } catch (error) {
        // No such table, no such database.
        if (error.errno === 1146 || error.errno === 1049) return false
        throw error
      }
    },
    create: () =>
      besideTransaction(
        knex,
        // The SQL mode: without it a server that enforces another engine would take that, silently, and it may have no transactions.
        `/*M! SET STATEMENT sql_mode = 'NO_ENGINE_SUBSTITUTION' FOR */ CREATE TABLE ${table} (
  ${columns.id} varchar(255) NOT NULL,
  ${columns.data} longtext NOT NULL,
  ${columns.expiresAt} bigint NOT NULL,
  ${columns.expiresHour} int NOT NULL,
  ${columns.revision} int NOT NULL,
  ${columns.ownerId} varchar(255) NULL,
  ${columns.createdAt} bigint NOT NULL,
  ${columns.lastSeenAt} bigint NOT NULL,
  PRIMARY KEY (${columns.id}),
  INDEX (${columns.expiresHour}),
  INDEX (${columns.ownerId})
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE /*!80017 utf8mb4_0900_bin *//*M! utf8mb4_nopad_bin */`
      ),
    drop: () => knex.raw(`DROP TABLE IF EXISTS ${table}`)
  }
}

/**
 * Here a CREATE TABLE commits the transaction that it is in, and with it knex's lock of its migrations, so that another process which
 * migrates now would find them locked, and fail. On a connection of its own it does not. Where none can be had, it runs as all others do.
 */
async function besideTransaction(knex, sql) {
  const { client } = knex
  const isKnexsOwn = knex.isTransaction && client.config.connectionPool === undefined && typeof client.acquireRawConnection === 'function'
  const connection = isKnexsOwn ? await client.acquireRawConnection().catch(() => undefined) : undefined
  if (connection === undefined) return knex.raw(sql)
  try {
    await new Promise((resolve, reject) => {
      connection.query(sql, (error) => (error ? reject(error) : resolve()))
    })
  } finally {
    await client.destroyRawConnection(connection)
  }
}

const doubleQuoted = (name) => `"${name.replaceAll('"', '""')}"`
const backtickQuoted = (name) => `\`${name.replaceAll('`', '``')}\``

const isPostgresName = (name) => Buffer.byteLength(name) <= 63
const isSqliteName = (name) => !/^sqlite_/i.test(name)
const isMysqlName = (name) => name.length <= 64 && !name.endsWith(' ') && !/[\ud800-\udfff]/.test(name)

/** Every name quoted, or an error where the database could not have it under exactly that name. */
function quoted({ tableName, schemaName, columns }, quoteName, isAllowed) {
  const quote = (name) => {
    // Knex takes a question mark for a binding, in quotes too.
    if (typeof name !== 'string' || name === '' || /[?\0]/.test(name) || !name.isWellFormed() || !isAllowed(name)) {
      throw new Error(`userParams.sessionsTable: ${JSON.stringify(name)} cannot be a name of a table, schema or column`)
    }
    return quoteName(name)
  }
  return {
    quote,
    table: schemaName === undefined ? quote(tableName) : `${quote(schemaName)}.${quote(tableName)}`,
    columns: Object.fromEntries(Object.entries(columns).map(([key, name]) => [key, quote(name)]))
  }
}

/** Without the application's postProcessResponse, which may rename or freeze what is read here. */
function raw(knex, sql, bindings = []) {
  const client = Object.create(knex.client, { config: { value: { ...knex.client.config, postProcessResponse: undefined } } })
  return client.raw(sql, bindings)
}
