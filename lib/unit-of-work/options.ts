import type { Knex } from 'knex'
import { detectWorkDialect } from '../dialects/drivers'
import type { Isolation, WorkDialect } from '../dialects/work-dialect'
import { InvalidOptionError } from '../errors'
import { refuseUnknown } from '../unknown-option'
import { checkXid } from './two-phase'

/** A response as `commitWhen` sees it: Node's, Express's or Fastify's. */
export interface DecidedResponse {
  /** The HTTP status of the response, such as 200, 302 or 500. */
  readonly statusCode: number
}

/** Options of {@link unitOfWork}. All are optional. */
export interface UnitOfWorkOptions {
  /** The minimum isolation level of the transactions. @default the setting of the database */
  isolation?: Isolation
  /** Refuse writes. @default false */
  readOnly?: boolean
  /** Returns whether the unit is committed. Called when the response is about to be sent. @default (res) => res.statusCode < 400 */
  commitWhen?: (response: DecidedResponse) => boolean
  /**
   * `'independent'`: the session is saved as always, also if the unit is rolled back, but not if its commit fails. `'atomic'`: the session
   * is saved in the transaction, so both are kept or neither. @default 'independent'
   */
  session?: SessionMode
  /** What `work.db` does outside of a unit of work: it uses the pool, or throws {@link NoUnitError}. @default 'pool' */
  outsideUnit?: 'pool' | 'throw'
}

/** How the session of a request is saved: see {@link UnitOfWorkOptions}. */
export type SessionMode = 'independent' | 'atomic'

/**
 * Options of one unit. They override the options of {@link unitOfWork}. A nested unit accepts none, because it shares the transaction
 * around it.
 */
export interface UnitOptions {
  /** The minimum isolation level of the transaction. */
  isolation?: Isolation
  /** Refuse writes. */
  readOnly?: boolean
  /** The id for a two-phase commit: 1 to 64 letters, digits, and `. _ : -`. PostgreSQL takes it as late as `prepare(xid)`. */
  xid?: string
}

/** Options of one job. */
export interface JobOptions extends UnitOptions {
  /** `'return'`: commit if the function returns, roll back if it throws. `'always'`: commit in either case. @default 'return' */
  commitOn?: 'return' | 'always'
}

/** The checked options, with all defaults filled in. The object is frozen. */
export interface ResolvedWorkOptions {
  readonly knex: Knex
  readonly dialect: WorkDialect
  readonly isolation: Isolation | undefined
  readonly readOnly: boolean
  readonly commitWhen: (response: DecidedResponse) => boolean
  readonly session: SessionMode
  readonly outsideUnit: 'pool' | 'throw'
}

const ISOLATIONS: readonly unknown[] = [
  'read uncommitted',
  'read committed',
  'repeatable read',
  'snapshot',
  'serializable'
] satisfies Isolation[]
const UNIT_OPTIONS = ['isolation', 'readOnly', 'xid']
const WORK_OPTIONS = ['isolation', 'readOnly', 'commitWhen', 'session', 'outsideUnit']

/** Checks everything and fills in the defaults. No I/O. */
export function resolveWorkOptions(knex: Knex, options: UnitOfWorkOptions): ResolvedWorkOptions {
  if (typeof options !== 'object' || options === null) throw new InvalidOptionError('options', 'an object', options)
  refuseUnknown(options, WORK_OPTIONS)
  const { isolation, readOnly = false, commitWhen = isSuccess, session = 'independent', outsideUnit = 'pool' } = options
  checkTransactionMode(options)
  if (typeof commitWhen !== 'function') throw new InvalidOptionError('commitWhen', 'a function of the response', commitWhen)
  if (!['independent', 'atomic'].includes(session)) throw new InvalidOptionError('session', "'independent' or 'atomic'", session)
  if (!['pool', 'throw'].includes(outsideUnit)) throw new InvalidOptionError('outsideUnit', "'pool' or 'throw'", outsideUnit)
  return Object.freeze({ knex, dialect: detectWorkDialect(knex), isolation, readOnly, commitWhen, session, outsideUnit })
}

/** Checks the options of one unit. */
export function checkUnitOptions(options: UnitOptions, more: readonly string[] = []): void {
  refuseUnknown(options, [...UNIT_OPTIONS, ...more])
  checkTransactionMode(options)
  if (options.xid !== undefined) checkXid(options.xid)
}

function checkTransactionMode({ isolation, readOnly }: UnitOptions): void {
  if (isolation !== undefined && !ISOLATIONS.includes(isolation)) {
    throw new InvalidOptionError('isolation', `one of ${ISOLATIONS.join(', ')}`, isolation)
  }
  if (readOnly !== undefined && typeof readOnly !== 'boolean') throw new InvalidOptionError('readOnly', 'true or false', readOnly)
}

function isSuccess(response: DecidedResponse): boolean {
  return response.statusCode < 400
}
