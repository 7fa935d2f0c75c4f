import type { Knex } from 'knex'
import { debug } from '../debug'
import type { Database } from '../dialects/database'
import { type Dialect, driverCode } from '../dialects/dialect'
import { identityBelowTransaction } from '../dialects/identity'
import { displayName, type TableDefinition } from '../dialects/table-definition'
import { wrapDriverError } from '../dialects/wrap-driver-error'
import { ForeignTableError, isOurs, TableMissingError } from '../errors'
import { type RegisteredTable, registeredIn } from './registry'

/** Sees to it that the table is there before the first statement, and again when it was dropped behind our back. */
export class Readiness {
  constructor(
    private readonly knex: Knex,
    private readonly db: Database,
    private readonly dialect: Dialect,
    private readonly entry: RegisteredTable,
    private readonly mayCreate: boolean
  ) {}

  /** True if the table was seen. In a transaction, what was seen outside of it counts: it was committed. */
  get isReady(): boolean {
    if (this.entry.ready) return true
    if (!this.db.isTransaction) return false
    const identity = identityBelowTransaction(this.knex)
    return identity !== undefined && registeredIn(identity, this.entry.definition)?.ready === true
  }

  /** Finds or makes the table. A failure is not remembered: the next call tries again. */
  async ensure(): Promise<void> {
    const { entry } = this
    const other = entry.preparing
    if (other !== null) {
      try {
        return await other
      } catch {
        // That attempt ran on another Knex, perhaps, which may be down or without privilege where ours is not.
        if (entry.ready) return
      }
    }
    if (entry.preparing !== null && entry.preparing !== other) return entry.preparing
    const attempt = prepareTable(this.db, this.dialect, entry.definition, this.mayCreate).then(
      () => {
        entry.ready = true
      },
      (error) => {
        throw isOurs(error) ? error : wrapDriverError(this.dialect, error, 'table check')
      }
    )
    entry.preparing = attempt
    try {
      await attempt
    } finally {
      if (entry.preparing === attempt) entry.preparing = null
    }
  }

  /**
   * After a statement failed as if the table were missing: sees to it that it is there, so that the statement is worth a second try.
   * Inside a transaction the failure may have ended the transaction, and then nothing can be made there.
   */
  async heal(): Promise<void> {
    const { db, dialect, entry } = this
    try {
      if ((await dialect.describe(db, entry.definition)) !== null) return
    } catch (error) {
      if (!db.isTransaction) throw wrapDriverError(dialect, error, 'table check')
      throw new TableMissingError(displayName(entry.definition), 'was dropped during this transaction, which the database has aborted')
    }
    debug('the sessions table %s went missing', displayName(entry.definition))
    entry.ready = false
    await this.ensure()
  }
}

/**
 * Look, create, look again: of several processes that create at once all but one fail, whatever the statement, and "someone did it" is
 * success. No advisory lock: not every database has one, and a proxy between may break it.
 */
export async function prepareTable(db: Database, dialect: Dialect, table: TableDefinition, mayCreate: boolean): Promise<void> {
  if (await isThere(db, dialect, table)) return
  if (!mayCreate) throw new TableMissingError(displayName(table), 'createTable is false')
  try {
    await dialect.create(db, table)
    debug('created the sessions table %s', displayName(table))
  } catch (error) {
    if (await isThere(db, dialect, table)) return
    const diagnosis = dialect.diagnose(error)
    const code = driverCode(error)
    if (diagnosis === 'denied') throw new TableMissingError(displayName(table), `the database user may not create it (driver code ${code})`)
    if (diagnosis === 'table-missing')
      throw new TableMissingError(displayName(table), `neither does its schema ${JSON.stringify(table.schemaName)}`)
    throw wrapDriverError(dialect, error, 'table creation')
  }
}

async function isThere(db: Database, dialect: Dialect, table: TableDefinition): Promise<boolean> {
  const found = await dialect.describe(db, table)
  if (found === null) return false
  const missing = Object.values(table.columns).filter((name: string) => !found.includes(name))
  if (missing.length > 0) throw new ForeignTableError(displayName(table), missing, found)
  return true
}
