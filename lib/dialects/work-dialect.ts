import type { Knex } from 'knex'
import type { Connection } from '../knex/knex-client'

/** What differs between databases in a unit of work. */
export interface WorkDialect {
  /** For messages. */
  readonly name: string
  /** True if the database refuses all statements after a failed one, except those of a savepoint that is rolled back. */
  readonly failureAborts: boolean
  /** A change of the schema commits the transaction it is made in. */
  readonly schemaChangesCommit: boolean
  /** The statements that begin and end a transaction, if those of Knex will not do. */
  wording(beginning: Beginning): Wording | undefined
  /** One transaction alone can write at a time, and the others wait for its end. */
  readonly hasOneWriter: boolean
  /** Two-phase commit, where the database has it. */
  readonly twoPhase: TwoPhase | undefined
  /** Drops every table and view of the schema that the connection uses, or fails if one is locked for long. */
  dropAll(knex: Knex): Promise<void>
}

/** Two-phase commit. An xid has been checked before it comes here: it can stand in a statement as it is. */
export interface TwoPhase {
  /** The xid has to be known when the transaction begins. */
  readonly needsXidToBegin: boolean
  prepare(xid: string, knex: Knex): Preparation
  readonly commitPrepared: (xid: string) => string
  readonly rollbackPrepared: (xid: string) => string
  recover(knex: Knex): Promise<PreparedTransaction[]>
  /** The meaning of a driver's error. `'empty'`: there was nothing to commit, and that is done. */
  diagnose(error: unknown): 'disabled' | 'unknown' | 'taken' | 'empty' | 'other'
  /** The setting that turns it on. */
  readonly setting: string
}

/** A transaction that was prepared and is neither committed nor rolled back yet. */
export interface PreparedTransaction {
  /** The id that it was prepared under. */
  readonly xid: string
  /** When it was prepared, where the server knows that. */
  readonly preparedAt: Date | undefined
}

/** How a transaction is to begin. */
export interface Beginning {
  readonly isolation?: Isolation | undefined
  readonly readOnly?: boolean | undefined
  /** Set for a transaction that may be prepared for a two-phase commit. */
  readonly xid?: string | undefined
  /** What its first statement does, as far as that is known. */
  readonly intent?: Intent | undefined
}

/** What the first statement of a transaction does. `'any'`: not known. */
export type Intent = 'write' | 'any'

/** The minimum isolation of a transaction. A database may give a stricter one. */
export type Isolation = 'read uncommitted' | 'read committed' | 'repeatable read' | 'snapshot' | 'serializable'

/** Statements that replace those of Knex. The last of each list ends the transaction; the ones before prepare that. */
export interface Wording {
  readonly begin: readonly string[]
  readonly commit: readonly string[]
  readonly rollback: readonly string[]
  /** Sends the statement that begins or commits, if that may have to wait for other transactions: without stopping the process. */
  readonly patiently?: ((connection: Connection, send: () => Promise<unknown>) => Promise<unknown>) | undefined
}

/** How a transaction is prepared for a two-phase commit. */
export interface Preparation {
  readonly statements: readonly string[]
  /**
   * For databases whose connection holds on to a prepared transaction until it is closed. Returns a function that waits until the server
   * has noticed the close.
   */
  readonly detach?: ((trx: Knex.Transaction) => Promise<() => Promise<void>>) | undefined
}
