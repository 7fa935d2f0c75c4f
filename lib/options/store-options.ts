import type { SessionData } from 'express-session'
import type { Knex } from 'knex'
import { detectDialect, isKnex } from '../dialects/detect'
import type { Dialect, Durability } from '../dialects/dialect'
import type { TableDefinition } from '../dialects/table-definition'
import { Hidden, InvalidOptionError, OptionFunctionError } from '../errors'
import { debug } from '../observe/debug'
import { json, type SessionCodec } from '../record/codec'
import type { TtlSeconds } from '../record/expiry'
import { HASH_LENGTH, ID_LENGTH, PREFIX_END, type StoredIdForm } from '../record/stored-id'
import { ignoreRejection } from '../runtime/ignore-rejection'
import { refuseUnknown } from '../unknown-option'
import { COUNTERPARTS } from './counterparts'
import { resolveTable, TABLE_OPTIONS, type TableOptions } from './table-options'

/** What to do when another request changed the session since this one loaded it. */
export type ConflictPolicy = 'merge' | 'overwrite' | 'error'

/**
 * Options of {@link KnexSessionStore}. All but `knex` may be left out.
 *
 * @example
 * new KnexSessionStore({ knex: db, tableName: 'web_sessions', ttlSeconds: 3600 })
 */
export interface KnexSessionStoreOptions extends TableOptions {
  /** A Knex instance, or a transaction: then all the store does is part of it. The store never destroys it. */
  knex: Knex
  /** Make the table on first use if it is missing. With false, a missing table is an error that names the command to run. @default true */
  createTable?: boolean
  /**
   * Put before every stored id, so that several applications can share a table. At most 212 characters. With plain ids it ends with a colon:
   * `'shop:'`. @default ''
   */
  prefix?: string
  /**
   * How many seconds a session lives whose cookie has no expiry (`maxAge` null). A function is asked for every session and decides over
   * the cookie too. @default 86400
   */
  ttlSeconds?: TtlSeconds
  /**
   * A touch that would move the expiry by less than this many milliseconds costs no statement.
   * @default a hundredth of the session's life, at most 60000; 0 for a life under 10 minutes
   */
  touchAfterMs?: number
  /**
   * Every call is answered within this many milliseconds, with a `TimeoutError` if need be. Its statement is ended on the server a moment
   * before (a tenth of the time, at most half a second); where that cannot be done, the error says so: `outcome` is `'unknown'`.
   *
   * @default 10000
   */
  timeoutMs?: number
  /** Never more than this many connections of the Knex pool at once. @default 4 */
  maxConnections?: number
  /** How often expired rows are deleted, in milliseconds, by one process at a time; false: only by `prune()`. @default 900000 */
  pruneIntervalMs?: number | false
  /** At most this many rows are deleted by one statement. @default 1000 */
  pruneBatchSize?: number
  /** `'hashed'`: the table holds SHA-256 of the session id, of no use to a thief. `'plain'`: the id itself. @default 'hashed' */
  storedId?: StoredIdForm
  /** Told of errors that perhaps nobody waits for: of pruning, and of each call without callback, awaited or not. @default none */
  onError?: (error: unknown) => void
  /** The time, in milliseconds since the epoch. For tests. @default Date.now */
  clock?: () => number
  /** Whose session it is, for `owner_id`. The column is a text: 7 and 7n are stored as '7', and SQL asks for `owner_id = '7'`. @default none */
  owner?: (session: Partial<SessionData>) => string | number | bigint | null | undefined
  /** When another request changed the session meanwhile: merge by key, overwrite, or fail with SessionConflictError. @default 'merge' */
  conflict?: ConflictPolicy
  /** How a session becomes text; see {@link encrypted}. @default JSON */
  codec?: SessionCodec
  /**
   * `'auto'`: a copy of what `get` gave is known to have been loaded, so that clients which set copies, as `@fastify/session` does, lose no
   * update and revive no session. False: only the objects themselves are known. docs/concurrency.md says how, and what it costs. @default 'auto'
   */
  trackLoads?: 'auto' | false
  /** A stored session that cannot be decoded is answered as no session (and the event `unreadable`), or as an error. @default 'no-session' */
  unreadable?: UnreadablePolicy
  /** A session whose encoded data is larger than this many bytes is refused with SessionTooLargeError. @default no limit but the database's */
  maxDataBytes?: number
  /** A session ends this many seconds after it began, however often it is touched. @default no limit */
  maxLifetimeSeconds?: number
  /** With `storedId: 'hashed'`: find sessions that were stored under their plain id, too, and store them hashed at their first use. @default false */
  upgradePlainIds?: boolean
  /**
   * PostgreSQL only: what waits until it is on disk. `'all'`: every write. `'sets'`: all but a renewed expiry, of which a crash of the server
   * may lose the last fraction of a second. `'none'`: only destroyed sessions. @default 'sets'
   */
  durability?: Durability
  /** False where named prepared statements cannot be used: PostgreSQL behind pgbouncer before 1.21 in transaction mode. @default true */
  prepare?: boolean
  /** False: each call is a statement of its own. @default true */
  batch?: boolean
}

/** What to answer for a stored session that cannot be decoded. */
export type UnreadablePolicy = 'no-session' | 'error'

/** What the rest of the code sees: every field present, checked, frozen. */
export interface ResolvedOptions {
  readonly knex: Knex
  readonly dialect: Dialect
  readonly table: TableDefinition
  readonly createTable: boolean
  readonly prefix: string
  readonly ttlSeconds: TtlSeconds
  readonly touchAfterMs: number | undefined
  readonly timeoutMs: number
  readonly maxConnections: number
  readonly pruneIntervalMs: number | false
  readonly pruneBatchSize: number
  readonly storedId: StoredIdForm
  readonly onError: (error: unknown) => void
  readonly clock: () => number
  readonly owner: (session: Partial<SessionData>) => string | number | bigint | null | undefined
  readonly conflict: ConflictPolicy
  readonly codec: SessionCodec
  readonly trackLoads: 'auto' | false
  readonly unreadable: UnreadablePolicy
  readonly maxDataBytes: number
  readonly maxLifetimeSeconds: number
  readonly upgradePlainIds: boolean
  readonly durability: Durability
  readonly prepare: boolean
  readonly batch: boolean
}

const STORE_OPTIONS = [
  'knex',
  ...TABLE_OPTIONS,
  'createTable',
  'prefix',
  'ttlSeconds',
  'touchAfterMs',
  'timeoutMs',
  'maxConnections',
  'pruneIntervalMs',
  'pruneBatchSize',
  'storedId',
  'onError',
  'clock',
  'owner',
  'conflict',
  'codec',
  'trackLoads',
  'unreadable',
  'maxDataBytes',
  'maxLifetimeSeconds',
  'upgradePlainIds',
  'durability',
  'prepare',
  'batch'
] as const satisfies readonly (keyof KnexSessionStoreOptions)[]

const MAX_PREFIX = ID_LENGTH - HASH_LENGTH
/** Ten years. More than that is a number of milliseconds by mistake. */
const MAX_SECONDS = 315_360_000
const SECONDS = `a positive number of seconds (not milliseconds), at most ${MAX_SECONDS}, which is ten years, or Infinity`
const CLOCK = 'a function that returns milliseconds since the epoch'
const TTL = `${SECONDS}, or a function of the session`
/** Longer delays overflow Node's timers, which then fire at once. */
const MAX_DELAY_MS = 2_147_483_647

/** Checks everything, fills in the defaults, and leaves the caller's object as it is. No I/O. */
export function resolveOptions(given: KnexSessionStoreOptions): ResolvedOptions {
  if (isKnex(given))
    throw new InvalidOptionError('options', 'an object with the Knex in it', new Hidden(given), ': new KnexSessionStore({ knex: db })')
  // Without an object there is no knex either, and that message says what to write.
  const options: Partial<KnexSessionStoreOptions> = typeof given === 'object' && given !== null ? given : {}
  refuseUnknown(options, STORE_OPTIONS, '', COUNTERPARTS)
  const prepare = option(options, 'prepare', true, isBoolean, 'true or false')
  const durability = option(options, 'durability', 'sets', isDurability, "'all', 'sets' or 'none'")
  const storedId = option(options, 'storedId', 'hashed', (value) => value === 'hashed' || value === 'plain', "'hashed' or 'plain'")
  const upgradePlainIds = option(options, 'upgradePlainIds', false, isBoolean, 'true or false')
  const prefix = option(options, 'prefix', '', isPrefix, `a string of at most ${MAX_PREFIX} characters without control characters`)
  if ((storedId === 'plain' || upgradePlainIds) && prefix !== '' && !prefix.endsWith(PREFIX_END))
    throw new InvalidOptionError('prefix', `a string that ends with a colon, as plain ids are stored behind it`, prefix)
  const dialect = detectDialect(options.knex, { prepare, durability })
  return Object.freeze({
    knex: options.knex as Knex,
    dialect,
    table: resolveTable(options, dialect),
    createTable: option(options, 'createTable', true, isBoolean, 'true or false'),
    prefix,
    ttlSeconds: named('ttlSeconds', option(options, 'ttlSeconds', 86_400, isTtl, TTL)),
    touchAfterMs: option(options, 'touchAfterMs', undefined, isNotNegative, 'a number of milliseconds, 0 or more'),
    timeoutMs: option(options, 'timeoutMs', 10_000, isDelay, `a positive number of milliseconds, at most ${MAX_DELAY_MS}`),
    maxConnections: option(options, 'maxConnections', 4, isCount, 'a whole number, 1 or more'),
    pruneIntervalMs: option(
      options,
      'pruneIntervalMs',
      900_000,
      (value) => value === false || isDelay(value),
      `a positive number of milliseconds, at most ${MAX_DELAY_MS}, or false`
    ),
    pruneBatchSize: option(options, 'pruneBatchSize', 1000, isCount, 'a whole number, 1 or more'),
    storedId,
    onError: guarded(option(options, 'onError', ignore, isFunction, 'a function')),
    clock: checkedClock(option(options, 'clock', systemClock, isFunction, CLOCK)),
    owner: named('owner', option(options, 'owner', nobody, isFunction, 'a function of the session')),
    conflict: option(options, 'conflict', 'merge', isConflictPolicy, "'merge', 'overwrite' or 'error'"),
    codec: option(options, 'codec', json, isCodec, 'an object with the functions encode and decode'),
    trackLoads: option(options, 'trackLoads', 'auto', (value) => value === 'auto' || value === false, "'auto' or false"),
    unreadable: option(options, 'unreadable', 'no-session', isUnreadablePolicy, "'no-session' or 'error'"),
    maxDataBytes: option(options, 'maxDataBytes', Number.POSITIVE_INFINITY, isCount, 'a whole number of bytes, 1 or more'),
    maxLifetimeSeconds: option(options, 'maxLifetimeSeconds', Number.POSITIVE_INFINITY, isSeconds, SECONDS),
    upgradePlainIds,
    durability,
    prepare,
    batch: option(options, 'batch', true, isBoolean, 'true or false')
  })
}

function option<Key extends keyof KnexSessionStoreOptions, Value>(
  options: Partial<KnexSessionStoreOptions>,
  key: Key,
  fallback: Value,
  isAllowed: (value: unknown) => boolean,
  allowed: string
): Exclude<KnexSessionStoreOptions[Key], undefined> | Value {
  const value = options[key]
  if (value === undefined) return fallback
  // A key for encryption that is given as the codec itself must not be shown.
  if (!isAllowed(value)) throw new InvalidOptionError(key, allowed, key === 'codec' ? new Hidden(value) : value)
  return value as Exclude<KnexSessionStoreOptions[Key], undefined>
}

const isBoolean = (value: unknown) => typeof value === 'boolean'
const isFunction = (value: unknown) => typeof value === 'function'
const isPositive = (value: unknown) => typeof value === 'number' && value > 0
const isDurability = (value: unknown) => value === 'all' || value === 'sets' || value === 'none'
const isUnreadablePolicy = (value: unknown) => value === 'no-session' || value === 'error'
const isNotNegative = (value: unknown) => typeof value === 'number' && value >= 0
const isDelay = (value: unknown) => typeof value === 'number' && value > 0 && value <= MAX_DELAY_MS
const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 1
const isSeconds = (value: unknown) => value === Number.POSITIVE_INFINITY || (isPositive(value) && (value as number) <= MAX_SECONDS)
const isTtl = (value: unknown) => isFunction(value) || isSeconds(value)
const isConflictPolicy = (value: unknown) => value === 'merge' || value === 'overwrite' || value === 'error'
const isCodec = (value: unknown) =>
  typeof value === 'object' && value !== null && isFunction((value as SessionCodec).encode) && isFunction((value as SessionCodec).decode)
const isPrefix = (value: unknown) =>
  typeof value === 'string' && value.length <= MAX_PREFIX && value.isWellFormed() && [...value].every((character) => character >= ' ')

/** What the application's `onError` throws must not come out where nobody can catch it. */
function guarded(onError: (error: unknown) => void): (error: unknown) => void {
  const ignoreThrown = (thrown: unknown) => debug('onError threw %s', (thrown as Error | undefined)?.name)
  return (error) => {
    try {
      ignoreRejection(onError(error), ignoreThrown)
    } catch (thrown) {
      ignoreThrown(thrown)
    }
  }
}

/** The same function, but what it throws says which option threw. Anything else than a function is returned as it is. */
function named<Value>(name: string, value: Value): Value {
  if (typeof value !== 'function' || value === nobody) return value
  const named = (...args: unknown[]) => {
    try {
      return value(...args)
    } catch (error) {
      throw new OptionFunctionError(name, error)
    }
  }
  return named as Value
}

/** A moment that is no number would be stored as one in the past, and end the session. */
function checkedClock(clock: () => number): () => number {
  if (clock === systemClock) return clock
  const ask = named('clock', clock)
  return () => {
    const now: unknown = ask()
    if (typeof now === 'number' && Number.isFinite(now)) return Math.floor(now)
    ignoreRejection(now)
    throw new InvalidOptionError('clock', CLOCK, typeof now === 'number' ? now : new Hidden(now))
  }
}

/** Asked of `Date` at each call, so that a test's fake timers are seen by a store that was made before them. */
export const systemClock = (): number => Date.now()

/** A library does not log by itself: who wants to see these gives `onError`. */
function ignore(): void {}

function nobody(): null {
  return null
}
