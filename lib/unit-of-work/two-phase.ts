import type { Knex } from 'knex'
import type { Preparation, PreparedTransaction, TwoPhase, WorkDialect } from '../dialects/work-dialect'
import { InvalidOptionError } from '../errors'
import { clientOf } from '../knex/knex-client'
import { TwoPhaseDisabledError, TwoPhaseUnsupportedError, UnknownXidError, XidConflictError } from './errors'

/** It stands in statements that take no bindings, and MySQL takes 64 bytes. */
const XID = /^[A-Za-z0-9._:-]{1,64}$/

/** What a unit knows about its own two-phase commit. */
export interface PreparationRequest {
  readonly xid: string | undefined
  /** The xid that the transaction was begun with, '' if without one; undefined if it has not begun. */
  readonly begunAs: string | undefined
  readonly isNested: boolean
}

/** The xid, if it can be one. */
export function checkXid(xid: unknown): string {
  if (typeof xid === 'string' && XID.test(xid)) return xid
  throw new InvalidOptionError('xid', '1 to 64 letters, digits, and . _ : -', xid)
}

/** Refuses where the database has no two-phase commit, or `knex` is a transaction and so not ours to prepare. */
export function twoPhaseOf({ name, twoPhase }: WorkDialect, knex: Knex): TwoPhase {
  if (twoPhase === undefined) throw new TwoPhaseUnsupportedError(`${name} has no two-phase commit; use work.run(), which commits by itself`)
  if (knex.isTransaction || clientOf(knex).transacting) {
    throw new TwoPhaseUnsupportedError(
      'unitOfWork() was given a transaction, and a transaction inside another one cannot be prepared; give it the Knex instance itself'
    )
  }
  return twoPhase
}

/** How the unit is prepared. */
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

/** The second phase, by any connection of any process. */
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

/** The transactions that are prepared and not finished. */
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

/** MariaDB also says "unknown" of a transaction that was prepared on a connection that is still open. */
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
