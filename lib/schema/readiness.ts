import type { Knex } from 'knex'
import { type Dialect, driverCode } from '../dialects/dialect'
import { displayName, type TableDefinition } from '../dialects/table-definition'
import { explainDriverError, wrapDriverError } from '../dialects/wrap-driver-error'
import { isOurs, TableMissingError } from '../errors'
import type { Database } from '../knex/database'
import { identityBelowTransaction } from '../knex/identity'
import { debug } from '../observe/debug'
import { isOwnTableThere } from './own-table'
import { type RegisteredTable, registeredIn } from './registry'

/** Sees to it that the table is there before the first statement, and again when it was dropped behind our back. */
export class Readiness {
  private own: Promise<void> | null = null

  constructor(
    private readonly knex: Knex,
    private readonly db: Database,
    private readonly dialect: Dialect,
    private readonly entry: RegisteredTable,
    private readonly mayCreate: boolean
  ) {}

  /** True if the table was seen. In a transaction, a table that was seen outside of it counts: it was committed. */
  get isReady(): boolean {
    return this.entry.ready || this.entryBelow?.ready === true
  }

  /** Finds or makes the table; one attempt at a time. A failure is not remembered: the next call tries again. */
  ensure(): Promise<void> {
    if (this.own === null) {
      const forget = () => {
        this.own = null
      }
      this.own = this.joinOrAttempt()
      this.own.then(forget, forget)
    }
    return this.own
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
      this.distrust()
      throw new TableMissingError(displayName(entry.definition), 'was dropped under this transaction, which the database has aborted')
    }
    debug('the sessions table %s went missing', displayName(entry.definition))
    this.distrust()
    await this.ensure()
  }

  /** Joins the attempt that another Knex has under way; if it fails, tries itself: that Knex may be down or without privilege. */
  private async joinOrAttempt(): Promise<void> {
    const { entry } = this
    if (entry.preparing !== null) {
      try {
        return await entry.preparing
      } catch {
        if (entry.ready) return
      }
    }
    const attempt = this.attempt()
    entry.preparing = attempt
    try {
      await attempt
    } finally {
      if (entry.preparing === attempt) entry.preparing = null
    }
  }

  private async attempt(): Promise<void> {
    const { db, dialect, entry } = this
    try {
      await prepareTable(db, dialect, entry.definition, { whyNotCreate: this.whyNotCreate })
    } catch (error) {
      throw await explainDriverError(dialect, error, 'table check', db, entry.definition)
    }
    entry.ready = true
  }

  private get whyNotCreate(): string | undefined {
    if (!this.mayCreate) return 'createTable is false'
    const commits = this.db.isTransaction && !this.dialect.createsInTransaction
    return commits ? 'making it here would commit the transaction that the store is in; make it before, by ready() outside' : undefined
  }

  /** The next statement looks first, and so does the next transaction: in one, a statement that fails may cost all the others. */
  private distrust(): void {
    this.entry.ready = false
    const below = this.entryBelow
    if (below !== undefined) below.ready = false
  }

  /** What this process knows of the table outside of the transaction that this Knex is. */
  private get entryBelow(): RegisteredTable | undefined {
    if (!this.db.isTransaction) return undefined
    const identity = identityBelowTransaction(this.knex)
    return identity === undefined ? undefined : registeredIn(identity, this.entry.definition)
  }
}

/** Whether and how a missing table is to be made. */
export interface CreationPlan {
  /** Why it is not to be made, for the error. */
  readonly whyNotCreate?: string | undefined
  readonly unlogged?: boolean
}

/** How often a table is tried to be made. Names for its indexes that the server found free may be taken a moment later by another table's. */
const MAX_TRIES = 3

/**
 * Look, create, look again: of several processes that create at once all but one fail, whatever the statement, and "someone did it" is
 * success. No advisory lock: not every database has one, and a proxy between may break it.
 */
export async function prepareTable(db: Database, dialect: Dialect, table: TableDefinition, plan: CreationPlan = {}): Promise<void> {
  for (let tries = 1; !(await isOwnTableThere(db, dialect, table)); tries++) {
    if (plan.whyNotCreate !== undefined) throw new TableMissingError(displayName(table), plan.whyNotCreate)
    try {
      await dialect.create(db, table, { unlogged: plan.unlogged ?? false })
      debug('created the sessions table %s', displayName(table))
      return
    } catch (error) {
      // It has waited for as long as a statement may.
      if (isOurs(error)) throw error
      const mayPass = ['transient', 'locked', 'ended', 'other'].includes(dialect.diagnose(error))
      if ((tries === MAX_TRIES || !mayPass) && !(await isOwnTableThere(db, dialect, table))) throw creationError(dialect, error, table)
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
