import type { Knex } from 'knex'
import { InvalidOptionError, TransactionEndedError } from '../errors'

const NO_TRANSACTION =
  '. Pass the trx of knex.transaction(async (trx) => …) or of await knex.transaction(); for what belongs to no transaction, call the store itself'

/** @throws {InvalidOptionError} for what is not a transaction of Knex, or stands for one */
export function requireTransaction(trx: unknown): void {
  if ((trx as Knex | null | undefined)?.isTransaction !== true)
    throw new InvalidOptionError('trx', 'a transaction of Knex', trx, NO_TRANSACTION)
}

/**
 * Refuses what is to be done in a transaction that was committed or rolled back, lies within such a one, or whose BEGIN failed. Knex has
 * given its connection back, which may belong to others now. Knex refuses its own queries there, but does not see what goes to the driver
 * directly.
 *
 * @throws {TransactionEndedError}
 */
export function refuseEnded(knex: Knex): void {
  if (knex.isTransaction !== true) return
  const { isCompleted } = knex as { isCompleted?: () => boolean }
  if (isCompleted?.call(knex)) throw new TransactionEndedError()
}
