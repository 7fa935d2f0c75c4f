import { type Dialect, driverCode } from '../dialects/dialect'
import { creationCall, displayName, type TableDefinition } from '../dialects/table-definition'
import { wrapDriverError } from '../dialects/wrap-driver-error'
import { isOurs, TableMissingError } from '../errors'
import type { Database } from '../knex/database'
import { debug } from '../observe/debug'
import { isOwnTableThere } from './own-table'

/** Whether and how a missing table is made. */
export interface CreationPlan {
  /** Why the table must not be made, for the error. */
  readonly whyNotCreate?: string | undefined
  readonly unlogged?: boolean
}

/** How often making the table is tried. The server finds a free name for an index, and another table may take this name a moment later. */
const MAX_CREATIONS = 3

/**
 * Looks for the table, creates it if it is missing, and looks again after a failure. If several processes create it at once, all but one
 * fail, whatever the statement. So "another process did it" is success. It takes no advisory lock, because not every database has one, and
 * a proxy may break it.
 */
export async function makeIfMissing(db: Database, dialect: Dialect, table: TableDefinition, plan: CreationPlan = {}): Promise<void> {
  for (let tries = 1; !(await isOwnTableThere(db, dialect, table)); tries++) {
    if (plan.whyNotCreate !== undefined) throw new TableMissingError(displayName(table), plan.whyNotCreate, creationCall(table))
    try {
      await dialect.create(db, table, { unlogged: plan.unlogged ?? false })
      debug('created the sessions table %s', displayName(table))
      return
    } catch (error) {
      // An error of this package: the statement has waited as long as it may.
      if (isOurs(error)) throw error
      const mayPass = ['transient', 'locked', 'ended', 'constraint', 'other'].includes(dialect.diagnose(error))
      if ((tries === MAX_CREATIONS || !mayPass) && !(await isOwnTableThere(db, dialect, table))) throw creationError(dialect, error, table)
    }
  }
}

function creationError(dialect: Dialect, error: unknown, table: TableDefinition): Error {
  switch (dialect.diagnose(error)) {
    case 'denied':
      return new TableMissingError(
        displayName(table),
        `the database user lacks the privilege CREATE to make it (driver code ${driverCode(error)}). Have an administrator run: ${dialect.grantCreate(table)}; or let another user create the table`,
        creationCall(table)
      )
    case 'table-missing':
      return new TableMissingError(
        displayName(table),
        table.schemaName === undefined
          ? 'the connection has no schema to create it in: give the option schemaName, or set the search_path of the connection'
          : `its schema ${JSON.stringify(table.schemaName)} does not exist either: create the schema first`,
        creationCall(table)
      )
    default:
      return wrapDriverError(dialect, error, 'table creation')
  }
}
