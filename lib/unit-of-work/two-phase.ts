import type { Knex } from 'knex'
import type { Preparation, PreparedTransaction, TwoPhase, WorkDialect } from '../dialects/work-dialect'
import { InvalidOptionError } from '../errors'
import { clientOf } from '../knex/knex-client'
import { TwoPhaseDisabledError, TwoPhaseUnsupportedError, UnknownXidError, XidConflictError } from './errors'

/** The xid is a part of statements that take no bindings, so its characters are limited. MySQL accepts at most 64 bytes. */
const XID = /^[A-Za-z0-9._:-]{1,64}$/

/** What a unit knows about its two-phase commit. */
export interface PreparationRequest {
  readonly xid: string | undefined
  /** The xid with which the transaction has begun, or '' if it had none. Undefined if the transaction has not begun. */
  readonly begunAs: string | undefined
  readonly isNested: boolean
}

/** Returns the xid if it is valid, else throws. */
export function checkXid(xid: unknown): string {
  if (typeof xid === 'string' && XID.test(xid)) return xid
  throw new InvalidOptionError('xid', '1 to 64 letters, digits, and . _ : -', xid)
}

/** Throws if the database has no two-phase commit, or if `knex` is a transaction, which only the code that began it may prepare. */
export function twoPhaseOf({ name, twoPhase }: WorkDialect, knex: Knex): TwoPhase {
  if (twoPhase === undefined) throw new TwoPhaseUnsupportedError(`${name} has no two-phase commit; use work.run(), which commits by itself`)
  if (knex.isTransaction || clientOf(knex).transacting) {
    throw new TwoPhaseUnsupportedError(
      'unitOfWork() was given a transaction, and a transaction inside another one cannot be prepared; give it the Knex instance itself'
    )
  }
  return twoPhase
}

/** Returns how the unit is prepared. */
export function preparationOf(dialect: WorkDialect, knex: Knex, { xid, begunAs, isNested }: PreparationRequest): Preparation {
  const twoPhase = twoPhaseOf(dialect, knex)
  const checked = checkXid(xid)
  if (isNested)
    throw new TwoPhaseUnsupportedError(
      'only the outermost unit of work can be prepared, and this one is nested in another; call prepare() on the outermost one'
    )
  if (twoPhase.needsXidToBegin && begunAs !== undefined && begunAs !== checked) {
    const how = begunAs === '' ? 'without an xid' : `as ${JSON.stringify(begunAs)}`
    throw new XidConflictError(
      `${dialect.name} has to know the xid when the unit of work begins, and this one began ${how}; give it at the beginning: work.run(fn, { xid: ${JSON.stringify(checked)} })`
    )
  }
  return twoPhase.prepare(checked, knex)
}

/** Rethrows an error of the driver. If it is about the xid, the message says what to do. */
export function explainXid(dialect: WorkDialect, xid: string | undefined, error: unknown): never {
  throw xid === undefined ? error : explained(dialect, xid, error)
}

/** Does the second phase, on any connection of any process. */
export async function finishPrepared(
  dialect: WorkDialect,
  knex: Knex,
  how: 'commitPrepared' | 'rollbackPrepared',
  xid: string
): Promise<void> {
  const twoPhase = twoPhaseOf(dialect, knex)
  const sql = twoPhase[how](checkXid(xid))
  try {
    await knex.raw(sql)
  } catch (error) {
    if (twoPhase.diagnose(error) === 'empty') return
    throw await unlessHeld(twoPhase, knex, xid, explained(dialect, xid, error))
  }
}

/** Returns the transactions that are prepared and not finished. */
export async function recoverPrepared(dialect: WorkDialect, knex: Knex): Promise<PreparedTransaction[]> {
  return twoPhaseOf(dialect, knex).recover(knex)
}

function explained({ twoPhase }: WorkDialect, xid: string, error: unknown): unknown {
  switch (twoPhase?.diagnose(error)) {
    case 'disabled':
      return new TwoPhaseDisabledError(twoPhase.setting, error)
    case 'unknown':
      return new UnknownXidError(xid, error)
    case 'taken':
      return new XidConflictError(
        `another transaction has the xid ${JSON.stringify(xid)}; give this one another xid, or finish the other one (work.recover() lists what is prepared)`,
        { cause: error }
      )
    default:
      return error
  }
}

/** Returns the error, or a better one: MariaDB also says "unknown" while the connection that prepared the transaction is still open. */
async function unlessHeld(twoPhase: TwoPhase, knex: Knex, xid: string, error: unknown): Promise<unknown> {
  if (!(error instanceof UnknownXidError)) return error
  const prepared = await twoPhase.recover(knex)
  if (!prepared.some((transaction) => transaction.xid === xid)) return error
  return new XidConflictError(
    `the connection that prepared ${JSON.stringify(xid)} is still open; close it, or end its process, and try again`,
    {
      cause: error
    }
  )
}
