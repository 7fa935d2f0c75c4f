import type { Knex } from 'knex'
import type { Dialect } from '../dialects/dialect'
import { displayName } from '../dialects/table-definition'
import { explainDriverError, wrapDriverError } from '../dialects/wrap-driver-error'
import { TableMissingError } from '../errors'
import type { Database } from '../knex/database'
import { identityBelowTransaction } from '../knex/identity'
import { debug } from '../observe/debug'
import { makeIfMissing } from './make-table'
import { type RegisteredTable, registeredIn } from './registry'

/**
 * Knows whether the table is there, and makes it if not: before the first statement, and again after something dropped it. What it knows is in
 * the table's registry entry, which every copy of this package in the process shares.
 */
export class TablePresence {
  private own: Promise<void> | null = null

  constructor(
    private readonly knex: Knex,
    private readonly db: Database,
    private readonly dialect: Dialect,
    private readonly entry: RegisteredTable,
    private readonly mayCreate: boolean
  ) {}

  /** True if the table was seen. In a transaction, a table that was seen outside of it counts: it was committed. */
  get isThere(): boolean {
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
   * Called after a statement failed as if the table were missing. Resolves when the table is there, so that the statement is worth a second try.
   * Inside a transaction, the failure may have ended the transaction, and then nothing can be made there.
   */
  async makeAgain(): Promise<void> {
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

  /** Joins the attempt of another Knex in flight. If that fails, it tries itself: the other Knex may be down or lack a privilege. */
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
      await makeIfMissing(db, dialect, entry.definition, { whyNotCreate: this.whyNotCreate })
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

  /** The next statement looks for the table first, and so does the next transaction, which a failed statement may abort. */
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
