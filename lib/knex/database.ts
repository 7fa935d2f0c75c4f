import type { Knex } from 'knex'
import { Deadlines } from '../calls/deadlines'
import { TimeoutError } from '../database-errors'
import { isOurs } from '../errors'
import { isPromiseLike } from '../runtime/maybe-promise'
import { monotonicNow } from '../runtime/natives'
import { BorrowedConnections } from './borrowed-connections'
import { keepEndable } from './endable-transaction'
import type { Connection, KnexClient, KnexContainer } from './knex-client'
import { Listeners } from './listeners'
import type { ConnectionVerdict } from './pool-health'
import { PoolUse } from './pool-use'
import { RunningStatement, StatementTime } from './running-statement'
import type { StatementBounds } from './statement-bounds'
import type { StatementEnding } from './statement-ending'
import { asListenerError, runAsKnex, watched } from './statement-events'
import { refuseEnded } from './transaction-end'

/** Options of one statement, besides its text and bindings. */
export interface StatementOptions {
  /** Passed through to the driver, as by `knex.raw(…).options(…)`. */
  readonly driver?: Readonly<Record<string, unknown>>
}

/** What is known of the driver under a Knex. */
export interface DriverKnowledge {
  /** How a statement is ended on the server. Without it, a statement is only given up. */
  readonly ending?: StatementEnding | undefined
  /**
   * Tells what an error of the driver says about the connection. Without it, a connection is dropped only if the server does not respond.
   */
  readonly judge?: (error: unknown) => ConnectionVerdict
}

/** The limits of time for the statements of a Knex. */
interface StatementLimits {
  readonly deadlines: Deadlines
  /** How long a statement waits for a connection, or for a lock outside of the database. */
  readonly waits: Deadlines
}

/**
 * A statement stops waiting before its time is over: by this part of its time, and by at most so many milliseconds. Its callers began to
 * wait a little earlier, and a statement must not be sent after they were told that it timed out. On a busy machine, the error that says
 * what it waited for needs a moment to reach them.
 */
const PART_AHEAD = 0.1
const MOST_AHEAD_MS = 250

/**
 * The caller's Knex as the statements see it: with the same pool, transaction and events. `wrapIdentifier` and `postProcessResponse` of the
 * application do not apply to our statements, which are sent as they are written.
 */
export class Database {
  private constructor(
    private readonly knex: Knex,
    private readonly borrowed: BorrowedConnections,
    private readonly limits: StatementLimits,
    private readonly driver: DriverKnowledge,
    private readonly listeners: Listeners,
    private readonly bounds: StatementBounds | undefined,
    /** True for the statements of a transaction that is bounded as a whole. */
    private readonly isPart: boolean
  ) {}

  /**
   * @param timeoutMs after so many milliseconds a statement without bounds of its own is ended on the server
   * @param driver what is known of the driver
   */
  static of(knex: Knex, timeoutMs: number, driver: DriverKnowledge = {}): Database {
    const waits = new Deadlines(timeoutMs - Math.min(MOST_AHEAD_MS, timeoutMs * PART_AHEAD))
    const limits = { deadlines: new Deadlines(timeoutMs), waits }
    const known = knex.isTransaction === true ? insideTransaction(driver) : driver
    return new Database(knex, BorrowedConnections.of(knex.client), limits, known, new Listeners(knex), undefined, false)
  }

  /** The same for one statement, which has bounds of its own. */
  within(bounds: StatementBounds): Database {
    return new Database(this.knex, this.borrowed, this.limits, this.driver, this.listeners, bounds, this.isPart)
  }

  /** How many milliseconds a statement may wait for a locked row; undefined if the server decides. */
  get lockWaitMs(): number | undefined {
    return this.bounds?.lockWaitMs
  }

  get client(): KnexClient {
    return this.knex.client
  }

  /** True inside a transaction of the caller. What is done here may be rolled back, and all of it shares one connection. */
  get isTransaction(): boolean {
    return this.client.transacting === true
  }

  /** True if something listens to Knex's events of our statements. If not, statements take a shorter way, and no events are emitted. */
  get isListenedTo(): boolean {
    return this.listeners.areThere
  }

  /** Throws if nothing waits for the statement any more. */
  refuseIfGivenUp(): void {
    this.bounds?.refuseIfGivenUp()
  }

  /** How long a statement may wait before the database works on it, in milliseconds. */
  get waitMs(): number {
    return this.limits.waits.timeoutMs
  }

  /** Runs one statement; `?` marks a binding. Returns the response of the driver. */
  run(sql: string, bindings: readonly unknown[] = [], options: StatementOptions = {}): Promise<unknown> {
    return this.use((connection) => this.runOn(connection, sql, bindings, options))
  }

  /**
   * The same on a connection of {@link use}. If nothing listens, this does by hand what `knex.raw` does. The builder, the runner and the
   * response events of `knex.raw` cost as much as the driver.
   */
  async runOn(connection: Connection, sql: string, bindings: readonly unknown[], { driver = {} }: StatementOptions): Promise<unknown> {
    if (this.isListenedTo) return runAsKnex(this.client, connection, { sql, bindings, options: driver })
    const answer = await this.client.query(connection, { method: 'raw', sql, bindings, options: driver })
    return (answer as { response: unknown }).response
  }

  /** A connection of Knex's pool, for work that takes no time. Give it back by {@link release}. */
  acquire(): Promise<Connection> {
    return PoolUse.of(this.client).acquire(this.limits.waits)
  }

  release(connection: Connection): void {
    PoolUse.of(this.client).release(connection)
  }

  /** @throws {TransactionEndedError} in a transaction that has ended */
  refuseEnded(): void {
    if (this.isTransaction) refuseEnded(this.knex)
  }

  /**
   * Rejects as a statement would, if Knex was destroyed. Asks for a connection only if there seems to be no pool.
   */
  async refuseDestroyed(): Promise<void> {
    const { pool } = this.client
    if (!this.isTransaction && (pool === undefined || pool.destroyed === true)) this.release(await this.acquire())
  }

  /**
   * Does `work` on a connection of Knex's pool, within the time. If the connection leads to a server that takes no writes, it is dropped,
   * and the work is done once more on another connection.
   *
   * @param mayShare true for work that never waits for a lock. If the driver pipelines, it may share a connection with other such work.
   */
  async use<T>(work: (connection: Connection) => Promise<T>, mayShare = false): Promise<T> {
    const { borrowed } = this
    for (;;) {
      const acquired = borrowed.acquire(this.limits.waits, mayShare)
      const connection = isPromiseLike(acquired) ? await acquired : acquired
      if (mayShare && connection.pipeline === true) borrowed.share(connection)
      try {
        return await this.inTime(connection, work)
      } catch (error) {
        if (this.isTransaction || !borrowed.health.isWorthAnother(error)) throw error
      } finally {
        borrowed.giveBack(connection)
      }
    }
  }

  private async inTime<T>(connection: Connection, work: (connection: Connection) => Promise<T>): Promise<T> {
    this.refuseEnded()
    this.refuseIfGivenUp()
    // The time of the whole transaction bounds this part.
    if (this.isPart) return work(connection)
    const { client, bounds, driver } = this
    const { deadlines } = this.limits
    const sentAt = monotonicNow()
    const statement = new RunningStatement(client, connection, driver.ending, work(connection))
    bounds?.begin(statement)
    const time = bounds === undefined ? new StatementTime(deadlines, statement) : undefined
    try {
      return await statement.work
    } catch (error) {
      const explained = await statement.explain(error, deadlines.timeoutMs)
      this.judge(connection, explained, sentAt)
      throw explained
    } finally {
      time?.stop()
      if (statement.untilQuiet !== undefined) await statement.untilQuiet
    }
  }

  /** Drops a connection that cannot be relied on after this error. */
  private judge(connection: Connection, error: unknown, sentAt: number): void {
    const { client, borrowed, driver } = this
    if (error instanceof TimeoutError) {
      // The server did not respond, because it has not said what became of the statement.
      if (error.outcome === 'unknown') borrowed.health.unanswered(client, connection, sentAt)
    } else if (!isOurs(error)) borrowed.health.failed(client, connection, driver.judge?.(error) ?? 'sound', error)
  }

  /**
   * Runs `work` in a transaction, or in a savepoint if this is a transaction already. With bounds, they treat the whole transaction as one
   * statement, with its beginning and its end.
   */
  async transaction<T>(work: (db: Database) => Promise<T>): Promise<T> {
    this.refuseEnded()
    if (this.bounds !== undefined && !this.isTransaction) {
      return this.use((connection) =>
        this.begin((trx) => work(this.on(trx, true)), connection)
          // Knex does not remove this mark from a connection that it was given.
          .finally(() => delete connection.__knexTxId)
      )
    }
    for (;;) {
      try {
        return await PoolUse.of(this.client).during(this.waitMs, (begun) =>
          this.begin((trx) => {
            begun()
            return work(this.on(trx, this.isPart))
          })
        )
      } catch (error) {
        if (this.isTransaction || !this.borrowed.health.isWorthAnother(error)) throw error
      }
    }
  }

  /** @param connection a connection to use; without it, Knex takes one from its pool */
  private async begin<T>(work: (trx: Knex.Transaction) => Promise<T>, connection?: Connection): Promise<T> {
    const { knex, isTransaction } = this
    const container = (trx: Knex.Transaction) => {
      if (!isTransaction) keepEndable(trx.client)
      return work(trx)
    }
    try {
      if (isTransaction) return await knex.transaction(container)
      const config = { userParams: {}, doNotRejectOnRollback: true, ...(connection && { connection }) }
      return (await watched(this.client).transaction(container as KnexContainer, config)) as T
    } catch (error) {
      throw asListenerError(error)
    }
  }

  private on(trx: Knex, isPart: boolean): Database {
    const { limits, driver, listeners, bounds } = this
    // No other code knows this transaction, so nothing can listen to it.
    return new Database(trx, BorrowedConnections.of(trx.client), limits, driver, listeners, bounds, isPart)
  }
}

/** A transaction of the application may be read-only because it was begun as read-only. This says nothing about the server. */
function insideTransaction({ ending, judge = () => 'sound' }: DriverKnowledge): DriverKnowledge {
  return { ending, judge: (error) => (judge(error) === 'lost' ? 'lost' : 'sound') }
}
