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
 * A key of a Knex that stands for a transaction, and of a transaction that ends together with something of this package. Its value makes
 * the error for what comes after the end. Without it, the error is a {@link TransactionEndedError}.
 */
export const refusalAfterEnd = Symbol.for('knex-session-store/refusal-after-end')

type Ending = Knex & {
  readonly [refusalAfterEnd]?: () => Error
  readonly isCompleted?: () => boolean
  readonly executionPromise?: Promise<unknown>
  readonly parentTransaction?: Ending
  rollback?(error?: unknown): unknown
}

/**
 * Refuses work in a transaction that was committed or rolled back, lies within such a transaction, or whose BEGIN failed. Knex has given
 * its connection back, and other code may use it now. Knex refuses its own queries there, but does not see statements that go to the driver
 * directly.
 *
 * @throws {TransactionEndedError} or the error of `refusalAfterEnd`
 */
export function refuseEnded(knex: Knex): void {
  if (knex.isTransaction !== true) return
  for (const transaction of andThoseAround(knex)) {
    if (transaction.isCompleted?.()) throw transaction[refusalAfterEnd]?.() ?? new TransactionEndedError()
  }
}

/** The transactions that were rolled back, among those that are watched. */
const rolledBack = new WeakSet<Ending>()
const watched = new WeakSet<Ending>()

/**
 * Does the work once the transaction has been committed, and with it all the transactions around it. The work is not done if one of them
 * was rolled back: neither by an error, nor by `rollback()`. A savepoint that nothing ended counts as committed, because it is kept with the
 * transaction around it.
 *
 * Three cases are not seen here, so the work must be harmless without the commit:
 * - In a transaction that PostgreSQL has aborted, COMMIT is a rollback, and Knex does not notice. The work is done.
 * - After the first phase of a two-phase commit, the work is done, although nobody can see yet what was written.
 * - For `unit.db`, which stands for a transaction, Knex does not say when it ends. The work is not done.
 *
 * @param work must not reject
 */
export function afterCommit(trx: Knex, work: () => Promise<void>): void {
  const transactions = andThoseAround(trx)
  for (const transaction of transactions) watchRollback(transaction)
  const isKept = () => !transactions.some((transaction) => rolledBack.has(transaction))
  transactions.at(-1)?.executionPromise?.then(() => (isKept() ? work() : undefined), nothing)
}

/** The transaction and those that it is nested in, the outermost last. */
function andThoseAround(trx: Ending): Ending[] {
  return trx.parentTransaction === undefined ? [trx] : [trx, ...andThoseAround(trx.parentTransaction)]
}

/** After a `rollback()` without an error, Knex resolves the promise of the transaction too. So calls of `rollback()` are also watched. */
function watchRollback(trx: Ending): void {
  if (watched.has(trx)) return
  watched.add(trx)
  const note = () => void rolledBack.add(trx)
  trx.executionPromise?.then(nothing, note)
  const { rollback } = trx
  if (rollback === undefined) return
  trx.rollback = (error) => {
    // After the end, it does nothing.
    if (!trx.isCompleted?.()) note()
    return rollback.call(trx, error)
  }
}
