import type { Knex } from 'knex'
import { Deadlines } from '../calls/deadlines'
import { TimeoutError } from '../database-errors'
import { isOurs } from '../errors'
import { monotonicNow } from '../runtime/natives'
import { isPromiseLike } from '../runtime/soon'
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
  /** How a statement is ended on the server. Without it, it is only given up. */
  readonly ending?: StatementEnding | undefined
  /** Tells what an error of the driver says of the connection. Without it, a connection is dropped only if the server does not respond. */
  readonly judge?: (error: unknown) => ConnectionVerdict
}

/** What bounds the statements of a Knex in time. */
interface StatementLimits {
  readonly deadlines: Deadlines
  /** Of the time in which a statement waits for a connection or for a lock outside of the database. */
  readonly waits: Deadlines
}

/**
 * A statement stops waiting this part of its time, and at most so many milliseconds, before its time is over. Its callers began to wait a
 * little earlier, and a statement must not be sent after they were told that it timed out.
 */
const PART_AHEAD = 0.05
const MOST_AHEAD_MS = 50

/**
 * The caller's Knex as the statements see it: the same pool, transaction and events. `wrapIdentifier` and `postProcessResponse` of the
 * application do not reach our statements, which are sent as they are written.
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
   * @param timeoutMs a statement without bounds of its own is ended on the server after so many milliseconds
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

  /** Milliseconds that a statement may wait for a locked row, or undefined for as long as the server has it. */
  get lockWaitMs(): number | undefined {
    return this.bounds?.lockWaitMs
  }

  get client(): KnexClient {
    return this.knex.client
  }

  /** True inside a transaction of the caller: the work here may be rolled back, and shares one connection with the transaction. */
  get isTransaction(): boolean {
    return this.client.transacting === true
  }

  /** Whether something listens to Knex's events of our statements. If not, statements go a shorter way, and no events are emitted. */
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
   * The same on a connection of {@link use}. If nothing listens, it does by hand what `knex.raw` does, whose builder, runner and response
   * events cost as much as the driver.
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
   * Does `work` on a connection of Knex's pool, within the time. Does it once more, on another connection, if the first one turned out to
   * lead to a server that takes no writes, and was dropped.
   *
   * @param mayShare true for what never waits for a lock: if the driver pipelines, it may share a connection with another such use
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
    // A part is bounded by the time of the whole.
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

  /** Leaves a connection that cannot be relied on after this error. */
  private judge(connection: Connection, error: unknown, sentAt: number): void {
    const { client, borrowed, driver } = this
    if (error instanceof TimeoutError) {
      // The server has not said what became of the statement, so it did not respond.
      if (error.outcome === 'unknown') borrowed.health.unanswered(client, connection, sentAt)
    } else if (!isOurs(error)) borrowed.health.failed(client, connection, driver.judge?.(error) ?? 'sound', error)
  }

  /**
   * Runs `work` in a transaction, or in a savepoint if this already is one. With bounds all of it is one statement to them, its beginning
   * and its end too.
   */
  async transaction<T>(work: (db: Database) => Promise<T>): Promise<T> {
    this.refuseEnded()
    if (this.bounds !== undefined && !this.isTransaction) {
      return this.use((connection) =>
        this.begin((trx) => work(this.on(trx, true)), connection)
          // Of a connection that it was given, Knex does not take it away.
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

  /** @param connection if it is not Knex that takes one from its pool */
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

/** A transaction of the application may be read-only because it was begun so. That says nothing of the server. */
function insideTransaction({ ending, judge = () => 'sound' }: DriverKnowledge): DriverKnowledge {
  return { ending, judge: (error) => (judge(error) === 'lost' ? 'lost' : 'sound') }
}
