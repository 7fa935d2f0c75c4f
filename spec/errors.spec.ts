import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import * as lib from '../lib'
import { describeValue, Hidden, isOurs } from '../lib/errors'

const { SessionStoreError } = lib

/** Every error a person can get: its class, its code, which is stable, and what it says. */
const ERRORS: readonly [error: InstanceType<typeof SessionStoreError>, name: string, code: string, message: string][] = [
  [
    new lib.InvalidOptionError('maxConnections', 'a whole number, 1 or more', 0),
    'InvalidOptionError',
    'ERR_SESSION_INVALID_OPTION',
    'maxConnections must be a whole number, 1 or more, got 0 (number)'
  ],
  [
    new lib.UnknownOptionError('tablename', ', did you mean tableName? (options: knex, tableName)'),
    'UnknownOptionError',
    'ERR_SESSION_UNKNOWN_OPTION',
    'unknown option "tablename", did you mean tableName? (options: knex, tableName)'
  ],
  [
    new lib.UnsupportedDatabaseError('oracledb', 'pg, better-sqlite3'),
    'UnsupportedDatabaseError',
    'ERR_SESSION_UNSUPPORTED_DATABASE',
    'this package does not support the Knex client "oracledb"; make the Knex with one of these: pg, better-sqlite3'
  ],
  [
    new lib.SchemaConflictError('"sessions"', [{ field: 'columns.data', registered: 'data', given: 'sess' }]),
    'SchemaConflictError',
    'ERR_SESSION_SCHEMA_CONFLICT',
    'the sessions table "sessions" is already registered in this process with another definition: columns.data was "data" and is now "sess". Give every store of this table the same columns.data, or another tableName'
  ],
  [
    new lib.TableMissingError('"sessions"', 'createTable is false', 'createSessionsTable(knex)'),
    'TableMissingError',
    'ERR_SESSION_TABLE_MISSING',
    'the sessions table "sessions" does not exist and createTable is false. Create it with a migration that calls createSessionsTable(knex), then run: npx knex migrate:latest'
  ],
  [
    new lib.MigrationsDirectoryError('/app/migrations'),
    'MigrationsDirectoryError',
    'ERR_SESSION_MIGRATIONS_DIRECTORY',
    'the packaged migrations are not in /app/migrations, probably because the package was bundled. Leave knex-session-store out of the bundle (as an external module), or write a migration of your own with createSessionsTable(knex, { version: 1 })'
  ],
  [
    new lib.ForeignTableError('"sessions"', { missing: ['revision'], found: ['id', 'sess'] }),
    'ForeignTableError',
    'ERR_SESSION_FOREIGN_TABLE',
    'the table "sessions" is not a sessions table of this package, and nothing was done to it: it lacks the column revision (it has id, sess). Set the option tableName to another name, or rename that table, and the store makes a new one; or name its columns by the option columns'
  ],
  [
    new lib.DatabaseError('set', 'postgresql', '23514'),
    'DatabaseError',
    'ERR_SESSION_DATABASE',
    'session set failed on postgresql: the database refused the statement; the driver code or the log of the database says why (driver code 23514)'
  ],
  [
    new lib.ReadOnlyDatabaseError('touch', 'postgresql', '25006'),
    'ReadOnlyDatabaseError',
    'ERR_SESSION_READ_ONLY',
    'session touch failed on postgresql: this database is read-only: it is a standby, or a read-only transaction or file; give the store a Knex of the primary (driver code 25006)'
  ],
  [
    new lib.TransientDatabaseError('set', 'sqlite', 'SQLITE_BUSY'),
    'TransientDatabaseError',
    'ERR_SESSION_DATABASE_BUSY',
    'session set failed on sqlite: the database rolled the statement back again and again because of conflicts with other transactions; repeat the call later, and keep transactions short (driver code SQLITE_BUSY)'
  ],
  [
    new lib.DatabaseLockedError('set', 'sqlite', 'SQLITE_BUSY', 3000),
    'DatabaseLockedError',
    'ERR_SESSION_DATABASE_LOCKED',
    'session set failed on sqlite: another connection holds a lock of the database file, and did not release it within 3000 ms (option timeoutMs); keep transactions short in every process that uses the file (driver code SQLITE_BUSY)'
  ],
  [
    new lib.PoolExhaustedError('set', 'postgresql', { used: 4, max: 4, waiting: 7, own: 0, isInTransaction: false }, 10_000),
    'PoolExhaustedError',
    'ERR_SESSION_POOL_EXHAUSTED',
    'session set failed on postgresql: no connection of the Knex pool became free in 10000 ms (option timeoutMs): 4 of 4 in use, 7 waiting; transactions or queries of the application hold them. Inside a transaction use store.withTransaction(trx), which needs no further connection; else end transactions sooner (one that is neither committed nor rolled back holds its connection for good), or give the pool more connections (pool.max of the Knex configuration)'
  ],
  [
    new lib.DatabaseUnreachableError('get', 'postgresql', 'ECONNREFUSED'),
    'DatabaseUnreachableError',
    'ERR_SESSION_DATABASE_UNREACHABLE',
    'session get failed on postgresql: the database could not be reached or the connection was lost; check whether the server runs, and the network between (driver code ECONNREFUSED)'
  ],
  [
    new lib.RecordTooLargeError('set', 'mysql', 'ER_NET_PACKET_TOO_LARGE', 'max_allowed_packet'),
    'RecordTooLargeError',
    'ERR_SESSION_RECORD_TOO_LARGE',
    'session set failed on mysql: the session is larger than the database accepts (max_allowed_packet); keep less in the session, or raise that limit. The option maxDataBytes refuses such a session before it is sent (driver code ER_NET_PACKET_TOO_LARGE)'
  ],
  [
    new lib.TimeoutError('get', 500),
    'TimeoutError',
    'ERR_SESSION_TIMEOUT',
    'session get had no response from the database within 500 ms (option timeoutMs)'
  ],
  [
    new lib.UnserializableSessionError('it holds a BigInt, which JSON cannot write; store it as a string'),
    'UnserializableSessionError',
    'ERR_SESSION_UNSERIALIZABLE',
    'the session cannot be stored: it holds a BigInt, which JSON cannot write; store it as a string'
  ],
  [
    new lib.SessionTooLargeError(70_000, 65_536),
    'SessionTooLargeError',
    'ERR_SESSION_TOO_LARGE',
    'the session is too large: it has 70000 bytes encoded, and at most 65536 are allowed (option maxDataBytes); keep less in the session, or raise the option'
  ],
  [
    new lib.UnreadableSessionError('its data has no cookie'),
    'UnreadableSessionError',
    'ERR_SESSION_UNREADABLE',
    'a stored session cannot be read: its data has no cookie'
  ],
  [
    new lib.InvalidSessionIdError('it is empty'),
    'InvalidSessionIdError',
    'ERR_SESSION_INVALID_ID',
    "the session id cannot be stored: it is empty; storedId: 'hashed' (the default) takes any string"
  ],
  [
    new lib.SessionConflictError('20 tries to merge the changes failed'),
    'SessionConflictError',
    'ERR_SESSION_CONFLICT',
    'another request changed the session after it was loaded (20 tries to merge the changes failed); load the session again, repeat the change and save it'
  ],
  [
    new lib.TransactionEndedError(),
    'TransactionEndedError',
    'ERR_SESSION_TRANSACTION_ENDED',
    'the transaction that the session store was given has ended (committed, rolled back, or its BEGIN failed), so nothing was sent. Await each call of that store before the transaction ends, and afterwards call a store that was made with the Knex itself'
  ],
  [
    new lib.StoreClosedError('get'),
    'StoreClosedError',
    'ERR_SESSION_STORE_CLOSED',
    'session get was called on a store that was closed; close the store last, after the server, or make a new KnexSessionStore'
  ],
  [
    new lib.QueryListenerError(new Error('no space left on the disk of the query log')),
    'QueryListenerError',
    'ERR_SESSION_QUERY_LISTENER',
    "a listener of Knex's events start, query, query-response or query-error threw an error (see cause); make this listener catch its own errors"
  ],
  [
    new lib.OptionFunctionError('owner', new TypeError("Cannot read properties of undefined (reading 'id')")),
    'OptionFunctionError',
    'ERR_SESSION_OPTION_FUNCTION',
    'the function given as option owner threw an error (see cause); it is also called for visitors who are not signed in, so any property of the session may be missing'
  ],
  [
    new lib.OtherStoreError('get', new RangeError('connection lost')),
    'OtherStoreError',
    'ERR_SESSION_OTHER_STORE',
    'the store given as migrateFrom failed to get a session (see cause), so it is not known whether the session exists; see that its database is reached'
  ]
]

const guide = readFileSync(join(__dirname, '..', 'docs', 'troubleshooting.md'), 'utf8')
const LIB = join(__dirname, '..', 'lib')
/** Every code in the sources: those of the subpaths and of the command line too. */
const CODES = [
  ...new Set(
    readdirSync(LIB, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts'))
      .flatMap((file) =>
        [...readFileSync(join(LIB, file), 'utf8').matchAll(/\bcode\b.* = (?:.*: )?'(ERR_\w+)'/g)].map(([, code = '']) => code)
      )
  )
].sort()

describe('the errors', () => {
  it.each(ERRORS.map(([error, ...rest]) => [rest[0], error, ...rest] as const))('%s', (_title, error, name, code, message) => {
    expect(error).toBeInstanceOf(Error)
    expect(error).toBeInstanceOf(SessionStoreError)
    expect({ name: error.name, code: error.code, message: error.message }).toEqual({ name, code, message })
    expect(error.stack).toContain(message)
  })

  it('are all listed here, so that no code changes unseen', () => {
    const classes = Object.entries(lib).filter(([name, value]) => /Error$/.test(name) && typeof value === 'function')
    const listed = ERRORS.map(([, name]) => name)
    expect(classes.map(([name]) => name).sort()).toEqual([...listed, 'SessionStoreError'].sort())
  })

  it('are explained one by one in docs/troubleshooting.md', () => {
    const [byCode = ''] = /^## By code\n.*?(?=^## )/ms.exec(guide) ?? []
    const explained = [...byCode.matchAll(/^### `(ERR_SESSION_\w+)`$/gm)].map(([, code]) => code)
    expect(explained.sort()).toEqual(ERRORS.map(([, , code]) => code).sort())
  })

  it.each(CODES)('are explained where their url leads: %s', (code) => {
    expect(guide).toMatch(new RegExp(`^### \`${code}\`\n\n.*\\S.*\n\n\\*\\*What to do:\\*\\* \\S`, 'm'))
    class AnyError extends SessionStoreError {
      readonly code = code
    }
    expect(new AnyError('any').url).toMatch(new RegExp(`/docs/troubleshooting\\.md#${code.toLowerCase()}$`))
  })

  it('have a code each', () => {
    expect(new Set(ERRORS.map(([, , code]) => code)).size).toBe(ERRORS.length)
  })

  it('have no code that means something to express-session', () => {
    for (const [error] of ERRORS) expect(error.code).not.toBe('ENOENT')
  })

  it('of the database tell the code of the driver, and nothing else of what it said', () => {
    const error = new lib.DatabaseUnreachableError('get', 'postgresql', 'ENOENT')
    expect(error).toMatchObject({ operation: 'get', dialect: 'postgresql', driverCode: 'ENOENT' })
    expect(error.cause).toEqual({ driverCode: 'ENOENT' })
    expect(error).toBeInstanceOf(lib.DatabaseError)
  })

  it('of the database without a code do without', () => {
    expect(new lib.DatabaseUnreachableError('get', 'sqlite', undefined).message).toBe(
      'session get failed on sqlite: the database could not be reached or the connection was lost; check whether the server runs, and the network between'
    )
  })
})

it('an error of another copy of this package is one of ours', () => {
  expect(isOurs(new lib.TimeoutError('get', 1))).toBe(true)
  expect(isOurs(Object.assign(new Error('of another copy'), { code: 'ERR_SESSION_TIMEOUT' }))).toBe(true)
  for (const other of [new Error('no'), { code: 'ENOENT' }, { code: 5 }, null, undefined, 'ERR_SESSION_TIMEOUT']) {
    expect(isOurs(other)).toBe(false)
  }
})

describe('a value in a message', () => {
  it.each([
    ['abc', '"abc" (string)'],
    ['x'.repeat(70), `"${'x'.repeat(60)}…" (string)`],
    ['mysql://ada:secret@db', 'a URL (string)'],
    [1.5, '1.5 (number)'],
    [5n, '5 (bigint)'],
    [true, 'true (boolean)'],
    [null, 'null'],
    [undefined, 'undefined'],
    [Symbol('secret'), 'a symbol'],
    [() => 'secret', 'a function'],
    [['secret'], 'an array'],
    [{ secret: 1 }, 'an object'],
    [new Hidden('secret'), 'a string'],
    [new Hidden(5), 'a number'],
    [new Hidden(null), 'null']
  ])('%o is shown as %s', (value, shown) => {
    expect(describeValue(value)).toBe(shown)
  })
})
