/*
 * The words of this folder, and where each is at home:
 *
 * - unit (`unit.ts`): statements that commit together or not at all. It is a request, a job, or one call of `run`.
 * - scope (`scope.ts`): a Knex transaction, or a savepoint in it, that is watched. Its statements are sent one at a time, and a failed one
 *   is noted.
 * - open transaction (`transaction.ts`): the same transaction as its unit ends it, by COMMIT, ROLLBACK or PREPARE.
 * - frame (`context.ts`): what code runs within, by its async context. It is a unit, a stretch outside of units, or a scope of a test's
 *   transaction.
 * - place (`place.ts`, `unit-place.ts`): where the builders of a Knex run. It is the pool, a unit's transaction, or a test's.
 * - placed Knex (`placed-knex.ts`): a Knex whose builders ask for their place when they are awaited. `work.db` is one.
 * - adopted (`unit.ts`): said of a nested transaction that Knex begins and ends. The code in it has a unit of its own.
 * - handle (`unit-place.ts`): a nested transaction without a function that is awaited in it. Other code has to end it.
 * - work in progress (`work-in-progress.ts`): what was begun in a unit and has not ended. The unit waits for it before it ends.
 * - held response (`held-response.ts`): a response that is not sent before its unit has committed, so its status can still change.
 * - web session (`web-session.ts`): the session of the request. It is `'atomic'` if the unit writes it, else `'independent'`.
 * - write turn (`write-turns.ts`): the turn of a unit that writes, in a database where only one transaction can write at a time.
 */

export type { Isolation, PreparedTransaction } from '../dialects/work-dialect'
export {
  AtomicSessionError,
  NestedStillOpenError,
  NoUnitError,
  ResponseDecidedError,
  RollbackOnlyError,
  SessionOrderError,
  TwoPhaseDisabledError,
  TwoPhaseUnsupportedError,
  UndoneByNestedError,
  UnitEndedError,
  UnknownXidError,
  XidConflictError
} from './errors'
export type { FastifyPlugin } from './fastify-plugin'
export type { ErrorMiddleware, Middleware, Next } from './middleware'
export type { DecidedResponse, JobOptions, SessionMode, UnitOfWorkOptions, UnitOptions } from './options'
export type { Unit, UnitState } from './unit'
export { type UnitOfWork, unitOfWork } from './unit-of-work'
