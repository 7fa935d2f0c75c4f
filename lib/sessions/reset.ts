import type { ConnectionBudget } from '../batching/connection-budget'
import type { WriteOrder } from '../batching/write-order'
import type { SessionTable } from '../table/session-table'

/** The property of a store that resets it. A global symbol, so that it works across copies of this package. */
export const RESET: unique symbol = Symbol.for('knex-session-store/reset')

interface ResetParts {
  readonly entry: { resets: number }
  readonly table: SessionTable
  readonly budget: ConnectionBudget
  readonly order: WriteOrder
}

/** Deletes all rows. Every store on the table in this process forgets the sessions that it has loaded. */
export async function forgetAll({ entry, table, budget, order }: ResetParts): Promise<void> {
  await order.settled()
  await budget.use(() => table.deleteAll())
  entry.resets++
}
