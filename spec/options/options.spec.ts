import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InvalidOptionError, KnexSessionStore, type KnexSessionStoreOptions, UnknownOptionError, UnsupportedDatabaseError } from '../../lib'
import { STORE_OPTIONS } from '../../lib/options/store-options'
import { memoryDatabase } from '../../lib/testing'
import { databaseNamed, describeDatabase } from '../support/databases'

const MILLISECONDS = 'a positive number of milliseconds, at most 2147483647'
const COUNT = 'a whole number, 1 or more'
const BOOLEAN = 'true or false'
const NAME = 'a name, a string that is not empty'
const SECONDS = 'a positive number of seconds (not milliseconds), at most 315360000, which is ten years, or Infinity'
const TTL = `${SECONDS}, or a function of the session`
const PREFIX = 'a string of at most 212 characters without control characters'

/** For each option what is refused, with what the message has to say is allowed and what it has to say was given. */
const REFUSED: Readonly<Record<string, readonly [value: unknown, allowed: string, given: string][]>> = {
  tableName: [
    ['', NAME, '"" (string)'],
    [5, NAME, '5 (number)'],
    [null, NAME, 'null'],
    ['sessions?', 'a name without a question mark and without the character NUL (U+0000)', '"sessions?" (string)'],
    [
      'app.web.sessions',
      'a name without a dot, unless schemaName is given',
      `"app.web.sessions" (string); the schema is an option of its own: schemaName: 'app', tableName: 'web.sessions'`
    ],
    ['sess\0ions', 'a name without a question mark and without the character NUL (U+0000)', '"sess\\u0000ions" (string)']
  ],
  schemaName: [
    ['', NAME, '"" (string)'],
    [['web'], NAME, 'an array'],
    [null, NAME, 'null']
  ],
  columns: [
    ['id', 'an object that maps column keys to names', '"id" (string)'],
    [null, 'an object that maps column keys to names', 'null'],
    [[], 'an object that maps column keys to names', 'an array']
  ],
  createTable: [
    ['yes', BOOLEAN, '"yes" (string)'],
    [1, BOOLEAN, '1 (number)'],
    [null, BOOLEAN, 'null']
  ],
  prefix: [
    [5, PREFIX, '5 (number)'],
    ['a\nb', PREFIX, '"a\\nb" (string)'],
    ['\ud800', PREFIX, '"\\ud800" (string)'],
    ['p'.repeat(213), PREFIX, `"${'p'.repeat(60)}…" (string)`]
  ],
  ttlSeconds: [
    [0, TTL, '0 (number)'],
    [-5, TTL, '-5 (number)'],
    [Number.NaN, TTL, 'NaN (number)'],
    ['1d', TTL, '"1d" (string)'],
    [604_800_000, TTL, '604800000 (number)'],
    [3600n, TTL, '3600 (bigint)']
  ],
  touchAfterMs: [
    [-1, 'a number of milliseconds, 0 or more', '-1 (number)'],
    [Number.NaN, 'a number of milliseconds, 0 or more', 'NaN (number)'],
    [false, 'a number of milliseconds, 0 or more', 'false (boolean)']
  ],
  timeoutMs: [
    [0, MILLISECONDS, '0 (number)'],
    [Number.POSITIVE_INFINITY, MILLISECONDS, 'Infinity (number)'],
    [2_147_483_648, MILLISECONDS, '2147483648 (number)'],
    [() => 1000, MILLISECONDS, 'a function']
  ],
  maxConnections: [
    [0, COUNT, '0 (number)'],
    [1.5, COUNT, '1.5 (number)'],
    ['4', COUNT, '"4" (string)'],
    [Number.POSITIVE_INFINITY, COUNT, 'Infinity (number)']
  ],
  pruneIntervalMs: [
    [0, `${MILLISECONDS}, or false`, '0 (number)'],
    [true, `${MILLISECONDS}, or false`, 'true (boolean)'],
    [3_000_000_000, `${MILLISECONDS}, or false`, '3000000000 (number)']
  ],
  pruneBatchSize: [
    [0, COUNT, '0 (number)'],
    [{}, COUNT, 'an object']
  ],
  storedId: [
    ['hash', "'hashed' or 'plain'", '"hash" (string)'],
    [Symbol('hashed'), "'hashed' or 'plain'", 'a symbol']
  ],
  onError: [['console.error', 'a function', '"console.error" (string)']],
  clock: [[1_700_000_000_000, 'a function that returns milliseconds since the epoch', '1700000000000 (number)']],
  owner: [['userId', 'a function of the session', '"userId" (string)']],
  details: [[{ agent: 'phone' }, 'a function of the session and the request', 'an object']],
  maxSessionsPerOwner: [
    [0, COUNT, '0 (number)'],
    ['5', COUNT, '"5" (string)']
  ],
  conflict: [['ignore', "'merge', 'overwrite' or 'error'", '"ignore" (string)']],
  codec: [
    [JSON, 'an object with the functions encode and decode', 'an object'],
    [null, 'an object with the functions encode and decode', 'null']
  ],
  migrateFrom: [
    ['connect-pg-simple', 'a session store, or { store, readOnly }', '"connect-pg-simple" (string)'],
    [{ store: {} }, 'a session store, or { store, readOnly }', 'an object'],
    [{ get: () => undefined }, 'a session store, or { store, readOnly }', 'an object'],
    [{ store: { get: () => undefined, destroy: () => undefined }, readOnly: 'yes' }, 'a session store, or { store, readOnly }', 'an object']
  ],
  trackLoads: [
    [true, "'auto' or false", 'true (boolean)'],
    ['off', "'auto' or false", '"off" (string)']
  ],
  unreadable: [['throw', "'no-session' or 'error'", '"throw" (string)']],
  maxDataBytes: [['1mb', 'a whole number of bytes, 1 or more', '"1mb" (string)']],
  maxLifetimeSeconds: [[0, SECONDS, '0 (number)']],
  upgradePlainIds: [['true', BOOLEAN, '"true" (string)']],
  durability: [['some', "'all', 'sets' or 'none'", '"some" (string)']],
  prepare: [[0, BOOLEAN, '0 (number)']],
  batch: [[64, BOOLEAN, '64 (number)']]
}

/** One value that is taken, for each option: what a typo must not turn into. */
const TAKEN: Readonly<Record<string, unknown>> = {
  tableName: 'web_sessions',
  columns: { ownerId: 'user_id' },
  createTable: false,
  prefix: 'shop:',
  ttlSeconds: 3600,
  touchAfterMs: 1000,
  timeoutMs: 5000,
  maxConnections: 2,
  pruneIntervalMs: false,
  pruneBatchSize: 50,
  storedId: 'plain',
  onError: () => undefined,
  trackLoads: false,
  clock: () => 0,
  owner: () => 'ada',
  conflict: 'error',
  codec: { encode: JSON.stringify, decode: JSON.parse },
  unreadable: 'error',
  maxDataBytes: 65_536,
  maxLifetimeSeconds: 86_400,
  upgradePlainIds: true,
  durability: 'all',
  prepare: false,
  batch: false
}

function errorOf(make: () => unknown): Error {
  try {
    make()
  } catch (error) {
    return error as Error
  }
  throw new Error('expected an error')
}

describe('the options', () => {
  const open = () => memoryDatabase()
  const refusal = (knex: unknown, more: object) => errorOf(() => new KnexSessionStore({ knex, ...more } as KnexSessionStoreOptions))

  const cases = Object.entries(REFUSED).flatMap(([option, values]) => values.map((refused) => [option, ...refused] as const))

  it.each(cases)('%s is refused: %o', async (option, value, allowed, given) => {
    await using database = open()
    const error = refusal(database.knex, { [option]: value })
    expect(error).toBeInstanceOf(InvalidOptionError)
    expect(error).toMatchObject({ name: 'InvalidOptionError', code: 'ERR_SESSION_INVALID_OPTION', option })
    expect(error.message).toBe(`${option} must be ${allowed}, got ${given}`)
  })

  it('are each refused where they are wrong, and taken where they are right', async () => {
    await using database = open()
    expect(STORE_OPTIONS.filter((option) => option !== 'knex').sort()).toEqual(Object.keys(REFUSED).sort())
    for (const [option, value] of Object.entries(TAKEN)) {
      const tableName = `for_${option}`
      expect(() => new KnexSessionStore({ knex: database.knex, tableName, [option]: value } as KnexSessionStoreOptions)).not.toThrow()
    }
  })

  it.each([
    ['tablename', 'tableName'],
    ['tableNme', 'tableName'],
    ['createtable', 'createTable'],
    ['ttlSecond', 'ttlSeconds'],
    ['pruneInterval', 'pruneIntervalMs'],
    ['timeout', 'timeoutMs'],
    ['onerror', 'onError'],
    ['Knex', 'knex']
  ])('%s is refused as %s misspelt', async (given, meant) => {
    await using database = open()
    const error = refusal(database.knex, { [given]: 1 })
    expect(error).toBeInstanceOf(UnknownOptionError)
    expect(error).toMatchObject({ code: 'ERR_SESSION_UNKNOWN_OPTION', option: given })
    expect(error.message).toBe(`unknown option "${given}", did you mean ${meant}?`)
  })

  it.each([
    ['conString', 'give your Knex instance as knex'],
    ['pool', 'give your Knex instance as knex'],
    ['db', 'give your Knex instance as knex'],
    ['ttl', 'the option is ttlSeconds'],
    ['sidfieldname', "the option is columns: { id: '…' }"],
    ['sidFieldName', "the option is columns: { id: '…' }"],
    ['createTableIfMissing', 'the option is createTable'],
    ['pruneSessionInterval', 'the option is pruneIntervalMs, in milliseconds, not in seconds'],
    ['cleanupInterval', 'the option is pruneIntervalMs, in milliseconds'],
    ['disableTouch', 'the option is touchAfterMs'],
    ['errorLog', 'the option is onError'],
    ['secret', 'it is an option of session(); to encrypt sessions, give codec: encrypted({ keys: [key] })'],
    ['resave', 'it is an option of session()']
  ])('%s of another store is refused with what stands for it here', async (given, advice) => {
    await using database = open()
    const error = refusal(database.knex, { [given]: 1 })
    expect(error).toMatchObject({ code: 'ERR_SESSION_UNKNOWN_OPTION', option: given })
    expect(error.message.startsWith(`unknown option "${given}": ${advice}`)).toBe(true)
    expect(error.message.length).toBeLessThan(200)
  })

  it('never show a key or a secret that was given in the wrong place', async () => {
    await using database = open()
    const KEY = 'k'.repeat(20) + 'e'.repeat(20)
    const misplaced = [
      { codec: KEY },
      { codec: [KEY] },
      { codec: { keys: [KEY] } },
      { knex: KEY },
      { knex: `host=db password=${KEY}` },
      { secret: KEY }
    ]
    for (const options of misplaced) expect(refusal(database.knex, options).message).not.toContain(KEY)
  })

  it.each(['zzz', 'x'])('%s is refused without a guess', async (given) => {
    await using database = open()
    const { message } = refusal(database.knex, { [given]: 1 })
    expect(message).toMatch(new RegExp(`^unknown option "${given}" \\(the README lists the options\\)$`))
  })

  it('tableName may have a dot in it where schemaName says which schema it is', async () => {
    await using database = open()
    expect(() => new KnexSessionStore({ knex: database.knex, schemaName: 'main', tableName: 'app.sessions' })).not.toThrow()
  })

  it("upgradePlainIds is refused with storedId: 'plain', with which it would do nothing", async () => {
    await using database = open()
    expect(refusal(database.knex, { storedId: 'plain', upgradePlainIds: true })).toMatchObject({
      option: 'upgradePlainIds',
      message:
        "upgradePlainIds must be false or left out with storedId: 'plain', got true (boolean); it moves plain ids to their hashes, so give it in place of storedId: 'plain', not with it"
    })
    expect(() => new KnexSessionStore({ knex: database.knex, storedId: 'plain', upgradePlainIds: false })).not.toThrow()
  })

  it('columns takes only the keys it knows', async () => {
    await using database = open()
    expect(refusal(database.knex, { columns: { expires: 'expires' } }).message).toBe(
      'unknown option "columns.expires", did you mean expiresAt? (options: id, data, expiresAt, expiresHour, revision, ownerId, createdAt, lastSeenAt)'
    )
    expect(refusal(database.knex, { columns: { data: '' } }).message).toBe(`columns.data must be ${NAME}, got "" (string)`)
    expect(refusal(database.knex, { columns: { data: 'id' } }).message).toBe(
      'columns.data must be different from every other column, got "id" (string)'
    )
    // One column to SQLite, MariaDB and MySQL.
    expect(refusal(database.knex, { columns: { data: 'ID' } }).message).toBe(
      'columns.data must be different from every other column, got "ID" (string)'
    )
  })

  it('may be undefined one by one, which means the default', async () => {
    await using database = open()
    const options = Object.fromEntries(Object.keys(REFUSED).map((option) => [option, undefined]))
    expect(() => new KnexSessionStore({ knex: database.knex, ...options })).not.toThrow()
  })

  it('may be frozen, and are left as they were', async () => {
    await using database = open()
    const columns = Object.freeze({ ownerId: 'user_id' })
    const options = Object.freeze({ knex: database.knex, tableName: 'frozen', columns, pruneIntervalMs: false as const })
    const before = { ...options }
    await using store = new KnexSessionStore(options)
    await store.ready()
    expect(options).toEqual(before)
    expect(columns).toEqual({ ownerId: 'user_id' })
  })

  it('may be changed afterwards without effect', async () => {
    await using database = open()
    const options = { knex: database.knex, tableName: 'first', columns: { ownerId: 'first_owner' }, pruneIntervalMs: false as const }
    await using store = new KnexSessionStore(options)
    options.tableName = 'second'
    options.columns.ownerId = 'second_owner'
    await store.ready()
    expect(await database.knex.schema.hasColumn('first', 'first_owner')).toBe(true)
    expect(await database.knex.schema.hasTable('second')).toBe(false)
  })

  it('may be inherited, as those of a class are', async () => {
    await using database = open()
    class Settings {
      knex = database.knex
      get tableName() {
        return 'from_a_getter'
      }
      pruneIntervalMs = false as const
    }
    await using store = new KnexSessionStore(new Settings())
    await store.ready()
    expect(await database.knex.schema.hasTable('from_a_getter')).toBe(true)
  })

  it('take any prefix that has no control character and leaves room for the hash', async () => {
    await using database = open()
    const prefix = fc.string({ unit: 'grapheme', maxLength: 60 }).filter((text) => text.length <= 212 && !/\p{Cc}/u.test(text))
    fc.assert(
      fc.property(prefix, (text) => {
        new KnexSessionStore({ knex: database.knex, prefix: text })
      })
    )
  })
})

describe('the option knex', () => {
  const HOW = `For example:
  import knex from 'knex'
  const db = knex({ client: 'pg', connection: process.env.DATABASE_URL })
  const store = new KnexSessionStore({ knex: db })`

  it.each([
    ['no options at all', undefined, 'undefined'],
    ['null in place of the options', null, 'undefined'],
    ['options without it', {}, 'undefined'],
    ['the configuration of a Knex', { knex: { client: 'pg' } }, 'an object'],
    ['a connection string', { knex: 'postgres://localhost/app' }, 'a string'],
    ['the module of Knex', { knex: () => undefined }, 'a function'],
    ['null', { knex: null }, 'null']
  ])('is asked for with the three lines to write, given %s', (_what, options, given) => {
    const error = errorOf(() => new KnexSessionStore(options as unknown as KnexSessionStoreOptions))
    expect(error).toMatchObject({ code: 'ERR_SESSION_INVALID_OPTION', option: 'knex' })
    expect(error.message).toBe(`knex must be a Knex instance or a transaction, got ${given}. ${HOW}`)
  })

  it('given in place of the options, says how to give it', async () => {
    await using database = memoryDatabase()
    const error = errorOf(() => new KnexSessionStore(database.knex as unknown as KnexSessionStoreOptions))
    expect(error.message).toBe('options must be an object with the Knex in it, got a function: new KnexSessionStore({ knex: db })')
  })

  it('that is an object with a Knex in it says so', async () => {
    await using database = memoryDatabase()
    const given = { knex: { knex: database.knex } } as unknown as KnexSessionStoreOptions
    expect(errorOf(() => new KnexSessionStore(given)).message).toBe(
      'knex must be a Knex instance or a transaction, got an object; its property knex is a Knex instance: give that one'
    )
  })

  it('never shows the password of a connection string', () => {
    const error = errorOf(() => new KnexSessionStore({ knex: 'postgres://ada:secret@db/app' } as unknown as KnexSessionStoreOptions))
    expect(error.message).not.toContain('secret')
  })

  it('is refused for a database that is not supported, with those that are', async () => {
    const { default: createKnex } = await import('knex')
    class Unheard extends createKnex.Client {
      override driverName = 'unheard'
      override dialect = 'unheard'
      _driver() {
        return {}
      }
    }
    const knex = createKnex({ client: Unheard as unknown as typeof createKnex.Client })
    const error = errorOf(() => new KnexSessionStore({ knex }))
    expect(error).toBeInstanceOf(UnsupportedDatabaseError)
    expect(error.message).toMatch(
      /^this package does not support the Knex client "unheard"; make the Knex with one of these: (.*\b)?pg\b.*better-sqlite3/
    )
  })
})

describeDatabase('postgres', 'the option knex', () => {
  it('may be a transaction: what the store does is part of it', async () => {
    await using database = await databaseNamed('postgres').open()
    await database.knex
      .transaction(async (trx) => {
        const store = new KnexSessionStore({ knex: trx, pruneIntervalMs: false })
        await store.ready()
        await trx.rollback(new Error('not kept')).catch(() => undefined)
      })
      .catch(() => undefined)
    expect(await database.knex.schema.hasTable('sessions')).toBe(false)
  })
})
