import { type Dialect, driverCode } from '../dialects/dialect'
import { displayName, type TableDefinition } from '../dialects/table-definition'
import { wrapDriverError } from '../dialects/wrap-driver-error'
import { isOurs, TableMissingError } from '../errors'
import type { Database } from '../knex/database'
import { debug } from '../observe/debug'
import { isOwnTableThere } from './own-table'

/** Whether and how a missing table is made. */
export interface CreationPlan {
  /** Why it must not be made, for the error. */
  readonly whyNotCreate?: string | undefined
  readonly unlogged?: boolean
}

/** How often making the table is tried. A name for an index that the server found free may be taken by another table a moment later. */
const MAX_CREATIONS = 3

/**
 * Looks for the table, creates it if it is missing, and looks again after a failure: of several processes that create it at once, all but one fail,
 * whatever the statement, and "another process did it" is success. It takes no advisory lock: not every database has one, and a proxy may break it.
 */
export async function makeIfMissing(db: Database, dialect: Dialect, table: TableDefinition, plan: CreationPlan = {}): Promise<void> {
  for (let tries = 1; !(await isOwnTableThere(db, dialect, table)); tries++) {
    if (plan.whyNotCreate !== undefined) throw new TableMissingError(displayName(table), plan.whyNotCreate)
    try {
      await dialect.create(db, table, { unlogged: plan.unlogged ?? false })
      debug('created the sessions table %s', displayName(table))
      return
    } catch (error) {
      // An error of ours: it has waited for as long as a statement may.
      if (isOurs(error)) throw error
      const mayPass = ['transient', 'locked', 'ended', 'other'].includes(dialect.diagnose(error))
      if ((tries === MAX_CREATIONS || !mayPass) && !(await isOwnTableThere(db, dialect, table))) throw creationError(dialect, error, table)
    }
  }
}

function creationError(dialect: Dialect, error: unknown, table: TableDefinition): Error {
  switch (dialect.diagnose(error)) {
    case 'denied':
      return new TableMissingError(
        displayName(table),
        `the database user lacks the privilege CREATE, which would make it (driver code ${driverCode(error)}). Have it granted: ${dialect.grantCreate(table)}; or have the table made by a user who may`
      )
    case 'table-missing':
      return new TableMissingError(
        displayName(table),
        table.schemaName === undefined
          ? 'there is no schema to create it in'
          : `neither does its schema ${JSON.stringify(table.schemaName)}`
      )
    default:
      return wrapDriverError(dialect, error, 'table creation')
  }
}
