import type { Knex } from 'knex'
import type { Dialect } from '../dialects/dialect'
import { creationCall, displayName } from '../dialects/table-definition'
import { explainDriverError, wrapDriverError } from '../dialects/wrap-driver-error'
import { ForeignTableError, TableMissingError } from '../errors'
import type { Database } from '../knex/database'
import { identityBelowTransaction } from '../knex/identity'
import { debug } from '../observe/debug'
import type { Presence } from '../table/session-table'
import { makeIfMissing } from './make-table'
import { isOwnTableThere } from './own-table'
import { type RegisteredTable, registeredIn } from './registry'

/**
 * Knows whether the table is there, and makes it if it is missing: before the first statement, and again after something dropped it. Its
 * knowledge is in the table's registry entry, which every copy of this package in the process shares.
 */
export class TablePresence implements Presence {
  private own: Promise<void> | null = null

  constructor(
    private readonly knex: Knex,
    private readonly db: Database,
    private readonly dialect: Dialect,
    private readonly entry: RegisteredTable,
    private readonly mayCreate: boolean
  ) {}

  /** True if the table was seen. In a transaction, it also counts that the table was seen outside of it, because it was committed then. */
  get isThere(): boolean {
    return this.entry.ready || this.entryBelow?.ready === true
  }

  /** Finds or makes the table, in one attempt at a time. A failure is not remembered: the next call tries again. */
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
   * Called after a statement failed as if the table or a column were missing. Resolves when the table is there and the statement can be
   * tried again. Inside a transaction, the failure may have ended the transaction. Then nothing can be made there.
   *
   * @throws {ForeignTableError} if the table was changed, or another one has its name now
   */
  async makeAgain(): Promise<void> {
    const { db, dialect, entry } = this
    try {
      if (await isOwnTableThere(db, dialect, entry.definition)) return
    } catch (error) {
      const isForeign = error instanceof ForeignTableError
      if (isForeign || db.isTransaction) this.distrust()
      if (isForeign || !db.isTransaction) throw wrapDriverError(dialect, error, 'table check')
      throw new TableMissingError(
        displayName(entry.definition),
        'was dropped or changed while this transaction ran, so the database aborted the transaction',
        creationCall(entry.definition)
      )
    }
    debug('the sessions table %s went missing', displayName(entry.definition))
    this.distrust()
    await this.ensure()
  }

  /**
   * Joins the attempt of another Knex that is in flight. If that attempt fails, this one tries itself, because the other Knex may be down
   * or lack a privilege.
   */
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
    return commits
      ? 'cannot be made in this transaction, because that would commit it; await ready() of a store outside of the transaction first'
      : undefined
  }

  /** Makes the next statement look for the table first. So does the next transaction, because a failed statement could abort it. */
  private distrust(): void {
    this.entry.ready = false
    const below = this.entryBelow
    if (below !== undefined) below.ready = false
  }

  /** What this process knows of the table outside of this transaction. Undefined if this Knex is no transaction, or if nothing is known. */
  private get entryBelow(): RegisteredTable | undefined {
    if (!this.db.isTransaction) return undefined
    const identity = identityBelowTransaction(this.knex)
    return identity === undefined ? undefined : registeredIn(identity, this.entry.definition)
  }
}
