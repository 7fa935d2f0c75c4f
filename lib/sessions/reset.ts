import type { ConnectionBudget } from '../batching/connection-budget'
import type { WriteOrder } from '../batching/write-order'
import type { SessionTable } from '../table/session-table'

/** Under which a store of any copy of this module is emptied. */
export const RESET: unique symbol = Symbol.for('knex-session-store/reset')

interface ResetParts {
  readonly entry: { resets: number }
  readonly table: SessionTable
  readonly budget: ConnectionBudget
  readonly order: WriteOrder
}

/** Deletes all rows. Every store of the table in this process forgets what it knows of sessions. */
export async function forgetAll({ entry, table, budget, order }: ResetParts): Promise<void> {
  await order.settled()
  await budget.use(() => table.deleteAll())
  entry.resets++
}
