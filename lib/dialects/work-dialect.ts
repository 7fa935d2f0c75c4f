import type { Knex } from 'knex'
import type { Connection } from '../knex/knex-client'

/** What differs between databases in a unit of work. */
export interface WorkDialect {
  /** For messages. */
  readonly name: string
  /** True if the database refuses all statements after a failed one, except those of a savepoint that is rolled back. */
  readonly failureAborts: boolean
  /** True if a change of the schema commits the transaction around it. */
  readonly schemaChangesCommit: boolean
  /** The statements that begin and end a transaction, if Knex's own ones do not suffice. */
  wording(beginning: Beginning): Wording | undefined
  /** True if only one transaction can write at a time, and the others wait for its end. */
  readonly hasOneWriter: boolean
  /** Two-phase commit, where the database has it. */
  readonly twoPhase: TwoPhase | undefined
  /** Drops every table and view of the schema that the connection uses. Fails if one of them is locked for long. */
  dropAll(knex: Knex): Promise<void>
}

/** Two-phase commit. Each xid was checked before, so it can be written into a statement as it is. */
export interface TwoPhase {
  /** True if the xid has to be known when the transaction begins. */
  readonly needsXidToBegin: boolean
  prepare(xid: string, knex: Knex): Preparation
  readonly commitPrepared: (xid: string) => string
  readonly rollbackPrepared: (xid: string) => string
  recover(knex: Knex): Promise<PreparedTransaction[]>
  /** Tells the meaning of a driver's error. `'empty'`: there was nothing to commit, and the commit is done. */
  diagnose(error: unknown): 'disabled' | 'unknown' | 'taken' | 'empty' | 'other'
  /** The setting that turns it on. */
  readonly setting: string
}

/** A transaction that was prepared and has been neither committed nor rolled back. */
export interface PreparedTransaction {
  /** The id that it was prepared under. */
  readonly xid: string
  /** When it was prepared, if the server knows that. */
  readonly preparedAt: Date | undefined
}

/** How a transaction is to begin. */
export interface Beginning {
  readonly isolation?: Isolation | undefined
  readonly readOnly?: boolean | undefined
  /** Set for a transaction that may be prepared for a two-phase commit. */
  readonly xid?: string | undefined
  /** What its first statement does, if that is known. */
  readonly intent?: Intent | undefined
}

/** What the first statement of a transaction does. `'any'`: not known. */
export type Intent = 'write' | 'any'

/** The minimum isolation of a transaction. A database may give a stricter one. */
export type Isolation = 'read uncommitted' | 'read committed' | 'repeatable read' | 'snapshot' | 'serializable'

/**
 * Statements that replace those of Knex. The last statement of `commit` and of `rollback` ends the transaction, and the ones before prepare
 * this end.
 */
export interface Wording {
  readonly begin: readonly string[]
  readonly commit: readonly string[]
  readonly rollback: readonly string[]
  /** Sends the statement that begins or commits, if it may have to wait for other transactions. It waits without stopping the process. */
  readonly patiently?: ((connection: Connection, send: () => Promise<unknown>) => Promise<unknown>) | undefined
}

/** How a transaction is prepared for a two-phase commit. */
export interface Preparation {
  readonly statements: readonly string[]
  /**
   * For databases in which a prepared transaction stays with its connection until the connection is closed. Returns a function that waits
   * until the server has noticed the close.
   */
  readonly detach?: ((trx: Knex.Transaction) => Promise<() => Promise<void>>) | undefined
}
