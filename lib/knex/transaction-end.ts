import type { Knex } from 'knex'
import { InvalidOptionError, TransactionEndedError } from '../errors'
import { nothing } from '../runtime/nothing'

const NO_TRANSACTION =
  '. Pass the trx of knex.transaction(async (trx) => …) or of await knex.transaction(); for what belongs to no transaction, call the store itself'

/** @throws {InvalidOptionError} if it is neither a transaction of Knex nor stands for one */
export function requireTransaction(trx: unknown): void {
  if ((trx as Knex | null | undefined)?.isTransaction !== true)
    throw new InvalidOptionError('trx', 'a transaction of Knex', trx, NO_TRANSACTION)
}

/**
 * Refuses work in a transaction that was committed or rolled back, lies within such a transaction, or whose BEGIN failed. Knex has given
 * its connection back, and other code may use it now. Knex refuses its own queries there, but does not see statements that go to the driver
 * directly.
 *
 * @throws {TransactionEndedError}
 */
export function refuseEnded(knex: Knex): void {
  if (knex.isTransaction !== true) return
  const { isCompleted } = knex as { isCompleted?: () => boolean }
  if (isCompleted?.call(knex)) throw new TransactionEndedError()
}

interface Nested {
  readonly executionPromise?: Promise<unknown>
  readonly parentTransaction?: Knex & Nested
}

/** Does the work when the transaction has been committed, with all that are around it; not at all after a rollback. The work must not reject. */
export function afterCommit(trx: Knex & Nested, work: () => Promise<void>): void {
  let outermost = trx
  while (outermost.parentTransaction !== undefined) outermost = outermost.parentTransaction
  outermost.executionPromise?.then(work, nothing)
}
