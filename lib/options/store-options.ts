import type { SessionData, Store } from 'express-session'
import type { Knex } from 'knex'
import type { Dialect, Durability } from '../dialects/dialect'
import { detectDialect, isKnex } from '../dialects/drivers'
import type { TableDefinition } from '../dialects/table-definition'
import { Hidden, InvalidOptionError } from '../errors'
import { json, type SessionCodec } from '../record/codec'
import type { TtlSeconds } from '../record/expiry'
import { PREFIX_END, type StoredIdForm } from '../record/stored-id'
import { nothing } from '../runtime/nothing'
import { refuseUnknown } from '../unknown-option'
import {
  isBoolean,
  isCodec,
  isConflictPolicy,
  isCount,
  isDelay,
  isDurability,
  isFunction,
  isMigrationSource,
  isNotNegative,
  isPrefix,
  isSeconds,
  isTtl,
  isUnreadablePolicy,
  MAX_DELAY_MS,
  MAX_PREFIX,
  MAX_SECONDS
} from './allowed-values'
import { COUNTERPARTS } from './counterparts'
import { refuseUpgradeOfPlain, requireOwner } from './option-conflicts'
import { CLOCK, checkedClock, guarded, named, nobody, systemClock } from './option-functions'
import { resolveTable, TABLE_OPTIONS, type TableOptions } from './table-options'

/** What happens if another request has changed the session since this one loaded it. */
export type ConflictPolicy = 'merge' | 'overwrite' | 'error'

/**
 * Options of {@link KnexSessionStore}. All but `knex` may be left out.
 *
 * @example
 * new KnexSessionStore({ knex: db, tableName: 'web_sessions', ttlSeconds: 3600 })
 */
export interface KnexSessionStoreOptions extends TableOptions {
  /** A Knex instance or a transaction. In a transaction, everything the store does is part of it. The store never destroys it. */
  knex: Knex
  /** Whether the store makes the table on first use if it is missing. If not, a missing table is an error that names the command to run. @default true */
  createTable?: boolean
  /**
   * A text before each stored id, so that several applications can share a table. At most 212 characters. With `storedId: 'plain'` it ends with a
   * colon: `'shop:'`. @default ''
   */
  prefix?: string
  /**
   * The life of a session whose cookie has no expiry (`maxAge` null), in seconds. A function is called for every session, and decides also for
   * sessions whose cookie has an expiry. @default 86400
   */
  ttlSeconds?: TtlSeconds
  /**
   * A touch is skipped if it would extend the expiry by less than this, in milliseconds.
   * @default a hundredth of the session's life, at most 60000; 0 for a life under 10 minutes
   */
  touchAfterMs?: number
  /**
   * The time in which each call has its result, in milliseconds. If it is over, the call fails with a `TimeoutError`. Its statement is ended on the
   * server a moment before, after nine tenths of the time or half a second before its end. If that is not possible, the error's `outcome` is
   * `'unknown'`.
   *
   * @default 10000
   */
  timeoutMs?: number
  /** The maximum number of connections of the Knex pool that the store uses at once. @default 4 */
  maxConnections?: number
  /** How often one of the processes deletes expired rows, in milliseconds. With false, only `prune()` does. @default 900000 */
  pruneIntervalMs?: number | false
  /** The maximum number of rows that one statement deletes. @default 1000 */
  pruneBatchSize?: number
  /** `'hashed'`: the table holds the SHA-256 of the session id, which is useless to a thief. `'plain'`: the id itself. @default 'hashed' */
  storedId?: StoredIdForm
  /** Called with errors that perhaps nothing else receives: of pruning, and of each call without a callback, awaited or not. @default none */
  onError?: (error: Error) => void
  /** Returns the time, in milliseconds since the epoch. For tests. @default Date.now */
  clock?: () => number
  /**
   * Returns whose session it is, for the column `owner_id`. The column is text: 7 and 7n are stored as '7', so query `owner_id = '7'`. It is also
   * called with sessions of visitors who are not signed in, so each property may be missing. @default none
   *
   * @example
   * new KnexSessionStore({ knex: db, owner: (session) => session.name })
   */
  owner?: (session: Partial<SessionData>) => string | number | bigint | null | undefined
  /**
   * Returns what to show of a session on a page "your devices": at most 16 strings, numbers, booleans or nulls. It is called when a session gets an
   * owner, or another one, and `ofOwner` returns the result. It is stored in the column `data`, so a codec encrypts it. Strings are cut after 256
   * characters. `req` is the request of that moment, which only express-session shows: for other clients, put what you need into the session. It
   * needs the option `owner`. @default none
   *
   * @example
   * new KnexSessionStore({ knex: db, owner: (session) => session.name, details: (_session, req) => ({ agent: req?.get('user-agent') }) })
   */
  details?: (
    session: Partial<SessionData>,
    req?: Request
  ) => Readonly<Record<string, string | number | boolean | null | undefined>> | null | undefined
  /**
   * The maximum number of live sessions of an owner. When a sign-in makes one more, the oldest end. It needs the option `owner`. @default no limit
   */
  maxSessionsPerOwner?: number
  /** What happens if another request has changed the session since it was loaded: merge by key, overwrite, or fail with SessionConflictError. @default 'merge' */
  conflict?: ConflictPolicy
  /** Turns sessions into text and back; see {@link encrypted}. @default JSON */
  codec?: SessionCodec
  /**
   * `'auto'`: copies of what `get` returned are recognised, so that clients which set copies, as `@fastify/session` does, lose no update and revive
   * no session. False: only the objects themselves are recognised. docs/concurrency.md says how, and what it costs. @default 'auto'
   */
  trackLoads?: 'auto' | false
  /** What `get` returns for a row that cannot be decoded: no session (and the event `unreadable`), or an error. @default 'no-session' */
  unreadable?: UnreadablePolicy
  /** The maximum size of the encoded data of a session, in bytes. A larger session is refused with SessionTooLargeError. @default no limit but the database's */
  maxDataBytes?: number
  /** The maximum life of a session from its beginning or its sign-in, in seconds, even if it is touched. @default no limit */
  maxLifetimeSeconds?: number
  /**
   * The store that the application had before, of any kind. A session that is not found here is looked for there, moved here under the same cookie,
   * and ended there, so nobody is signed out. With `readOnly`, nothing is ended there, so that you can go back. @default none
   *
   * @example
   * new KnexSessionStore({ knex: db, tableName: 'web_sessions', migrateFrom: oldStore })
   */
  migrateFrom?: OtherStore | { readonly store: OtherStore; readonly readOnly?: boolean }
  /** With `storedId: 'hashed'`: whether sessions that were stored under their plain id are found, and moved to their hash at their first use. @default false */
  upgradePlainIds?: boolean
  /**
   * PostgreSQL only: which writes wait until they are on disk. `'all'`: every write. `'sets'`: all but touches; if the server crashes, the touches of
   * the last fraction of a second are lost. `'none'`: only the destroying of sessions. @default 'sets'
   */
  durability?: Durability
  /** PostgreSQL only: whether statements are prepared by name. False behind pgbouncer before 1.21 in transaction mode. @default true */
  prepare?: boolean
  /** Whether calls share statements. With false, each call is a statement of its own. @default true */
  batch?: boolean
}

/** What is used of the store that sessions are moved from: any store for express-session. */
export type OtherStore = Pick<Store, 'get' | 'destroy'>

/** A request of Express. */
export type Request = Parameters<Store['createSession']>[0]

/** What `get` returns for a row that cannot be decoded. */
export type UnreadablePolicy = 'no-session' | 'error'

/** The options as the rest of the code sees them: every field present, checked, frozen. */
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
  readonly details: NonNullable<KnexSessionStoreOptions['details']>
  readonly maxSessionsPerOwner: number
  readonly conflict: ConflictPolicy
  readonly codec: SessionCodec
  readonly trackLoads: 'auto' | false
  readonly unreadable: UnreadablePolicy
  readonly maxDataBytes: number
  readonly maxLifetimeSeconds: number
  readonly upgradePlainIds: boolean
  readonly migrateFrom: { readonly store: OtherStore; readonly readOnly: boolean } | undefined
  readonly durability: Durability
  readonly prepare: boolean
  readonly batch: boolean
}

export const STORE_OPTIONS = [
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
  'details',
  'maxSessionsPerOwner',
  'conflict',
  'codec',
  'trackLoads',
  'unreadable',
  'maxDataBytes',
  'maxLifetimeSeconds',
  'upgradePlainIds',
  'migrateFrom',
  'durability',
  'prepare',
  'batch'
] as const satisfies readonly (keyof KnexSessionStoreOptions)[]

const SECONDS = `a positive number of seconds (not milliseconds), at most ${MAX_SECONDS}, which is ten years, or Infinity`
const TTL = `${SECONDS}, or a function of the session`

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
    throw new InvalidOptionError('prefix', 'a string that ends with a colon, because the session id follows it as it is', prefix)
  const dialect = detectDialect(options.knex, { prepare, durability })
  const resolved: ResolvedOptions = {
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
    // A library does not log by itself: give onError to see these errors.
    onError: guarded(option(options, 'onError', nothing, isFunction, 'a function')),
    clock: checkedClock(option(options, 'clock', systemClock, isFunction, CLOCK)),
    owner: named('owner', option(options, 'owner', nobody, isFunction, 'a function of the session')),
    details: named('details', option(options, 'details', nobody, isFunction, 'a function of the session and the request')),
    maxSessionsPerOwner: option(options, 'maxSessionsPerOwner', Number.POSITIVE_INFINITY, isCount, 'a whole number, 1 or more'),
    conflict: option(options, 'conflict', 'merge', isConflictPolicy, "'merge', 'overwrite' or 'error'"),
    codec: option(options, 'codec', json, isCodec, 'an object with the functions encode and decode'),
    trackLoads: option(options, 'trackLoads', 'auto', (value) => value === 'auto' || value === false, "'auto' or false"),
    unreadable: option(options, 'unreadable', 'no-session', isUnreadablePolicy, "'no-session' or 'error'"),
    maxDataBytes: option(options, 'maxDataBytes', Number.POSITIVE_INFINITY, isCount, 'a whole number of bytes, 1 or more'),
    maxLifetimeSeconds: option(options, 'maxLifetimeSeconds', Number.POSITIVE_INFINITY, isSeconds, SECONDS),
    upgradePlainIds,
    migrateFrom: migrationSource(options),
    durability,
    prepare,
    batch: option(options, 'batch', true, isBoolean, 'true or false')
  }
  requireOwner(options)
  refuseUpgradeOfPlain(resolved)
  return Object.freeze(resolved)
}

function migrationSource(options: Partial<KnexSessionStoreOptions>): ResolvedOptions['migrateFrom'] {
  const given = option(options, 'migrateFrom', undefined, isMigrationSource, 'a session store, or { store, readOnly }')
  if (given === undefined) return undefined
  if ('store' in given) refuseUnknown(given, ['store', 'readOnly'], 'migrateFrom.')
  return 'store' in given ? { store: given.store, readOnly: given.readOnly ?? false } : { store: given, readOnly: false }
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
  // An encryption key that was given as the codec by mistake must not be shown.
  if (!isAllowed(value)) throw new InvalidOptionError(key, allowed, key === 'codec' ? new Hidden(value) : value)
  return value as Exclude<KnexSessionStoreOptions[Key], undefined>
}
