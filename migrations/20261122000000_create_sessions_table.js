'use strict'

// Makes the sessions table of knex-session-store, layout 1. Released, and so never changed: knex remembers it by its name, and it has to
// mean the same in ten years. That is why it needs nothing but the Knex it is given. It may run before the store, after it or beside it:
// the first one makes the table, and either way it is the same table.
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

/** What the texts hold, in characters: less would cut off ids, owners and sessions. */
const CHARACTERS = { id: 255, data: 2 ** 24 - 1, ownerId: 255 }
/** What the numbers hold, in bits. Every other column is a moment in milliseconds. */
const BITS = { expiresHour: 32, revision: 32 }
const MOMENT_BITS = 64

/** The tables of others, for the message. Several packages have the same columns. */
const MAKERS = {
  'connect-session-knex': ['sid', 'sess', 'expired'],
  'connect-pg-simple or better-sqlite3-session-store': ['sid', 'sess', 'expire'],
  'express-mysql-session': ['session_id', 'expires', 'data'],
  'connect-session-sequelize': ['sid', 'expires', 'data'],
  Ghost: ['session_id', 'user_id', 'session_data']
}

/** Makes the table, if nothing has its name. Of what has it and is not ours nothing is touched, and the migration fails. */
exports.up = async (knex) => {
  const table = sessionsTable(knex)
  for (let tries = 1; !(await isOwnTableThere(table)); tries++) {
    try {
      await table.create()
    } catch (error) {
      // Of several that make it at once all but one fail. That somebody did it is success, and what the loop looks for.
      if (tries === 3 && !(await isOwnTableThere(table))) throw error
    }
  }
}

/**
 * Drops the table, if it is ours. Otherwise there is nothing of this migration to take back, and a rollback of all that came with it must not
 * fail for it: what has the name stays, and a warning says so.
 */
exports.down = async (knex) => {
  const table = sessionsTable(knex)
  const found = await table.look()
  if (found === null) return
  const faults = faultsOf(found, table.names)
  if (faults === '') await table.drop()
  else
    knex.client.logger.warn(`${describe(table.names)} was not dropped, because it is not a sessions table of knex-session-store: ${faults}`)
}

async function isOwnTableThere(table) {
  const found = await table.look()
  if (found === null) return false
  const faults = faultsOf(found, table.names)
  if (faults === '') return true
  throw new Error(
    `${describe(table.names)} is not a sessions table of knex-session-store, and nothing was done to it: ${faults}. Set tableName to another name (here in userParams.sessionsTable, and as an option of the store), or rename that table and migrate again`
  )
}

function describe({ schemaName, tableName }) {
  return `the table ${JSON.stringify(schemaName === undefined ? tableName : `${schemaName}.${tableName}`)}`
}

/**
 * Why a table is not ours, or ''. Ours is one by its structure: all columns are there and hold what they have to, and an INSERT that names
 * these columns alone works. Each found column has a name, a type, how many characters or bits it holds, and whether it may be NULL.
 */
function faultsOf({ instead, found, hasUniqueId, isSame }, { columns }) {
  const columnOf = (name) => found.find((column) => isSame(column.name, name))
  const names = Object.values(columns)
  const missing = names.filter((name) => columnOf(name) === undefined)
  const faults = Object.entries(MAKERS)
    .filter(([, theirs]) => theirs.every((name) => columnOf(name)))
    .slice(0, 1)
    .map(([maker]) => `it looks like the table of ${maker}`)
  if (missing.length > 0) faults.push(`it lacks the columns ${missing.join(', ')} (it has ${found.map(({ name }) => name).join(', ')})`)
  for (const [key, name] of Object.entries(columns)) {
    const { type, characters = 0, bits = 0 } = columnOf(name) ?? {}
    const needed = neededOf(key)
    if (type !== undefined && (characters < needed.characters || bits < needed.bits)) {
      const why = /^jsonb?$/.test(type) ? ' (a JSON column rewrites or refuses what is stored in it)' : ''
      faults.push(`its column ${name} has the type ${type}, but must be ${needed.words}${why}`)
    }
  }
  if (instead !== undefined) faults.push(`it is ${instead}`)
  else if (missing.length === 0) {
    if (!hasUniqueId) faults.push(`its column ${columns.id} has no primary key or unique key of its own`)
    if (!columnOf(columns.ownerId).isNullable)
      faults.push(`its column ${columns.ownerId} is NOT NULL, but sessions without an owner are stored too`)
    for (const { name, isRequired, isInOtherKey } of found) {
      if (isInOtherKey && names.some((ours) => isSame(name, ours)))
        faults.push(`its column ${name} is in a unique key without ${columns.id}, so two sessions could not have the same value`)
      if (isRequired && !names.some((ours) => isSame(name, ours))) faults.push(`its column ${name} is NOT NULL and has no default`)
    }
  }
  // Whose it looks like is no fault: somebody may have added such columns.
  return missing.length > 0 || faults.some((fault) => !fault.startsWith('it looks like')) ? faults.join('; ') : ''
}

function neededOf(key) {
  if (key === 'data') return { characters: CHARACTERS.data, bits: 0, words: 'text without a limit' }
  if (key in CHARACTERS) return { characters: CHARACTERS[key], bits: 0, words: `text of at least ${CHARACTERS[key]} characters` }
  if (key in BITS) return { characters: 0, bits: BITS[key], words: `an integer of at least ${BITS[key]} bits` }
  return { characters: 0, bits: MOMENT_BITS, words: `a bigint (${MOMENT_BITS} bits)` }
}

const isSameExactly = (name, other) => name === other
const isSameFolded = (name, other) => name.toLowerCase() === other.toLowerCase()

function sessionsTable(knex) {
  const { driverName } = knex.client
  if (!Object.hasOwn(DATABASES, driverName)) {
    throw new Error(`the sessions table cannot be made by the knex client ${driverName}, only by ${Object.keys(DATABASES).join(', ')}`)
  }
  const given = knex.userParams.sessionsTable ?? {}
  refuseUnknown(given, ['tableName', 'schemaName', 'columns'], '')
  refuseUnknown(given.columns ?? {}, Object.keys(COLUMNS), '.columns')
  const { tableName = 'sessions', schemaName } = given
  if (schemaName === undefined && typeof tableName === 'string' && tableName.includes('.')) {
    throw new Error(
      `userParams.sessionsTable.tableName ${JSON.stringify(tableName)} has a dot in it: the schema is an option of its own, schemaName`
    )
  }
  const columns = Object.fromEntries(Object.entries(COLUMNS).map(([key, name]) => [key, given.columns?.[key] ?? name]))
  if (new Set(Object.values(columns)).size < Object.keys(columns).length) {
    throw new Error('userParams.sessionsTable.columns gives two columns one name')
  }
  const names = { tableName, schemaName, columns }
  return { names, ...DATABASES[driverName](knex, names) }
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
    look: async () => {
      // What has the name is found as statements find it. A domain is what it is a domain of.
      const { rows } = await raw(knex, LOOK_ON_POSTGRES, [names.columns.id, names.columns.id, table])
      if (rows.length === 0) return null
      const found = rows.flatMap(({ name, type, is_generated, is_nullable, has_default, is_in_other_key }) => {
        if (name === null) return []
        const shown = is_generated === 'yes' ? `${type} generated always` : type
        const isNullable = is_nullable === 'yes'
        const isRequired = !isNullable && has_default === 'no'
        const isInOtherKey = is_in_other_key === 'yes'
        return [{ name, type: shown, ...holdsOnPostgres(shown), isNullable, isRequired, isInOtherKey }]
      })
      const [{ kind, has_unique_id }] = rows
      const instead =
        kind === 'r' || kind === 'p' ? undefined : kind === 'v' ? 'a view' : kind === 'm' ? 'a materialized view' : 'not a table'
      return { found, hasUniqueId: has_unique_id === 'yes', instead, isSame: isSameExactly }
    },
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

const yes = (condition) => `CASE WHEN ${condition} THEN 'yes' ELSE 'no' END`

// All is text, because an application may have the driver read other types as it likes. Types are quoted where quote_all_identifiers is on.
const LOOK_ON_POSTGRES = `SELECT c.relkind::text AS kind, a.attname::text AS name,
    replace(CASE WHEN y.typtype = 'd' THEN format_type(y.typbasetype, y.typtypmod) ELSE format_type(a.atttypid, a.atttypmod) END,
      '"', '') AS type,
    ${yes("a.attgenerated <> '' OR a.attidentity = 'a'")} AS is_generated,
    ${yes('NOT a.attnotnull AND NOT y.typnotnull')} AS is_nullable,
    ${yes("a.atthasdef OR a.attidentity <> '' OR y.typdefault IS NOT NULL")} AS has_default,
    ${yes(`EXISTS (SELECT 1 FROM pg_index i
      WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indnkeyatts = 1
        AND i.indkey[0] = (SELECT attnum FROM pg_attribute WHERE attrelid = c.oid AND attname = ?::text))`)} AS has_unique_id,
    ${yes(`EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND a.attnum = ANY (i.indkey)
      AND NOT (SELECT attnum FROM pg_attribute WHERE attrelid = c.oid AND attname = ?::text) = ANY (i.indkey))`)} AS is_in_other_key
  FROM pg_class c
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_type y ON y.oid = a.atttypid
  WHERE c.oid = to_regclass(?)::oid
  ORDER BY a.attnum`

/** Not character(n), which gives texts back filled up with spaces. */
function holdsOnPostgres(type) {
  if (type === 'text' || type === 'character varying') return { characters: Number.POSITIVE_INFINITY }
  const [, length] = /^character varying\((\d+)\)$/.exec(type) ?? []
  return length === undefined ? { bits: { smallint: 16, integer: 32, bigint: 64 }[type] } : { characters: Number(length) }
}

// Written from its documentation. One statement, which is all or nothing, and no savepoint, which could not be rolled back over it.
function cockroach(knex, names) {
  const { table, columns } = quoted(names, doubleQuoted, isPostgresName)
  return {
    look: async () => {
      const sql = `SELECT column_name::text AS name, data_type::text AS type, character_maximum_length::text AS length,
          is_nullable::text AS nullable, column_default::text AS by_default
        FROM information_schema.columns
        WHERE table_schema = COALESCE(?::text, current_schema()::text) AND table_name = ?::text ORDER BY ordinal_position`
      const { rows } = await raw(knex, sql, [names.schemaName ?? null, names.tableName])
      const found = rows.map(({ name, type, length, nullable, by_default }) => {
        const shown = length === null ? type : `${type}(${length})`
        const isNullable = nullable === 'YES'
        const isRequired = !isNullable && by_default === null
        return { name, type: shown, ...holdsOnPostgres(shown), isNullable, isRequired }
      })
      return rows.length === 0 ? null : { found, hasUniqueId: true, isSame: isSameExactly }
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
    look: async () => {
      const rows = await raw(knex, LOOK_ON_SQLITE, [names.columns.id, tableName, schemaName ?? null, schemaName ?? null])
      const found = rows.map(({ name, type, is_nullable, is_required, is_in_other_key }) => {
        const declared = (type ?? '').toLowerCase()
        const shown = declared === '' ? 'without a type' : declared
        const [isNullable, isRequired, isInOtherKey] = [is_nullable, is_required, is_in_other_key].map((flag) => flag === 1)
        return { name, type: shown, ...holdsOnSqlite(declared), isNullable, isRequired, isInOtherKey }
      })
      const [{ kind, is_without_rowid, has_unique_id } = {}] = rows
      const instead = kind !== 'table' ? `a ${kind}` : is_without_rowid === 1 ? 'WITHOUT ROWID' : undefined
      return rows.length === 0 ? null : { found, hasUniqueId: has_unique_id === 1, instead, isSame: isSameFolded }
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

// What has the name in the schema, or where a statement finds it without one: temporary, in the main database, or in one that is attached.
const LOOK_ON_SQLITE = `WITH given AS (SELECT ? AS id, ? AS name),
  t AS (SELECT l.schema, l.name, l.type, l.wr FROM given, pragma_table_list(given.name) AS l
    WHERE ? IS NULL OR l.schema = ? COLLATE NOCASE
    ORDER BY l.schema = 'temp' DESC, l.schema = 'main' DESC LIMIT 1)
  SELECT t.type AS kind, t.wr AS is_without_rowid, c.name AS name, c.type AS type, c."notnull" = 0 AS is_nullable,
    c."notnull" <> 0 AND c.dflt_value IS NULL AND NOT (c.pk <> 0 AND lower(c.type) = 'integer') AS is_required,
    EXISTS (SELECT 1 FROM given, pragma_index_list(t.name, t.schema) AS i
      WHERE i."unique" AND NOT i.partial
        AND (SELECT group_concat(k.name, x'00') FROM pragma_index_info(i.name, t.schema) AS k) = given.id COLLATE NOCASE) AS has_unique_id,
    EXISTS (SELECT 1 FROM pragma_index_list(t.name, t.schema) AS i
      WHERE i."unique"
        AND EXISTS (SELECT 1 FROM pragma_index_info(i.name, t.schema) AS k WHERE k.name = c.name COLLATE NOCASE)
        AND NOT EXISTS (SELECT 1 FROM given, pragma_index_info(i.name, t.schema) AS k WHERE k.name = given.id COLLATE NOCASE)) AS is_in_other_key
  FROM t, pragma_table_info(t.name, t.schema) AS c`

/** By the rules of affinity, in their order. No length is ever enforced, and a column without a type keeps what it is given. */
function holdsOnSqlite(type) {
  const bits = 64
  const characters = Number.POSITIVE_INFINITY
  if (type === '') return { bits, characters }
  if (type.includes('int')) return { bits }
  return /char|clob|text/.test(type) ? { characters } : {}
}

function mysql(knex, names) {
  const { table, columns } = quoted(names, backtickQuoted, isMysqlName)
  return {
    look: async () => {
      try {
        // Not from information_schema, which compares names loosely. Not by SHOW COLUMNS: in a transaction MySQL then keeps a lock on the
        // name, also of a table that is not there, and creating it would wait. The last field tells the bytes of a character.
        const [, fields] = await raw(knex, `SELECT *, CAST('' AS CHAR(1)) FROM ${table} LIMIT 0`)
        const isView = `SELECT 1 FROM information_schema.views
          WHERE table_schema = COALESCE(?, DATABASE()) AND CAST(table_name AS BINARY) = CAST(? AS BINARY) LIMIT 1`
        const [views] = await raw(knex, isView, [names.schemaName ?? null, names.tableName])
        return { ...foundOnMysql(fields, names.columns.id), instead: views.length === 0 ? undefined : 'a view' }
      } catch (error) {
        // No such table, no such database.
        if (error.errno === 1146 || error.errno === 1049) return null
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
 * What the fields of a result say, in the protocol's numbers. The two drivers have different names for them. Flags: 1 NOT NULL, 2 primary
 * key, 4 unique, 32 unsigned, 256 enum, 512 AUTO_INCREMENT, 2048 set, 4096 no default. Character set 63: bytes.
 */
function foundOnMysql(fields, id) {
  const lengthOf = ({ columnLength, length }) => columnLength ?? length
  const bytesOfCharacter = lengthOf(fields.at(-1))
  const shown = fields.slice(0, -1)
  const hasOnePrimary = shown.filter(({ flags }) => flags & 2).length === 1
  const found = shown.map((field) => {
    const { name, flags } = field
    const code = field.columnType ?? field.type
    const isBytes = (field.characterSet ?? field.charsetNr) === 63
    const length = Math.floor(lengthOf(field) / (isBytes ? 1 : bytesOfCharacter))
    const isText = !isBytes && code >= 252 && code <= 254 && !(flags & (256 | 2048))
    const holds = isText ? { characters: length } : { bits: BITS_ON_MYSQL[code] }
    const type = typeOnMysql(code, flags, isBytes, length)
    const isRequired = (flags & 4096) !== 0 && !(flags & 512)
    const isInOtherKey = (flags & 4) !== 0 && !isSameFolded(name, id)
    return { name, type, ...holds, isNullable: !(flags & 1), isRequired, isInOtherKey }
  })
  const hasUniqueId = shown.some(({ name, flags }) => isSameFolded(name, id) && (flags & 4 || (flags & 2 && hasOnePrimary)))
  return { found, hasUniqueId, isSame: isSameFolded }
}

const BITS_ON_MYSQL = { 1: 8, 2: 16, 3: 32, 8: 64, 9: 24 }
const TYPES_ON_MYSQL = {
  1: 'tinyint',
  2: 'smallint',
  3: 'int',
  4: 'float',
  5: 'double',
  7: 'timestamp',
  8: 'bigint',
  9: 'mediumint',
  10: 'date',
  12: 'datetime',
  245: 'json',
  246: 'decimal'
}

function typeOnMysql(code, flags, isBytes, length) {
  const name = TYPES_ON_MYSQL[code]
  if (name !== undefined) return flags & 32 && code in BITS_ON_MYSQL ? `${name} unsigned` : name
  if (flags & (256 | 2048)) return 'enum or set'
  if (code === 254) return `${isBytes ? 'binary' : 'char'}(${length})`
  if (code === 253) return `${isBytes ? 'varbinary' : 'varchar'}(${length})`
  if (code !== 252) return `of type ${code}`
  const size = length <= 255 ? 'tiny' : length <= 65_535 ? '' : length <= 16_777_215 ? 'medium' : 'long'
  return size + (isBytes ? 'blob' : 'text')
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
