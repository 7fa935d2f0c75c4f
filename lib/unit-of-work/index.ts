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
