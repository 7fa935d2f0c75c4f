import type { Knex } from 'knex'
import { Deadlines } from '../deadlines'
import { isPromiseLike } from '../soon'
import { BorrowedConnections } from './borrowed-connections'
import type { Connection, KnexClient } from './knex-client'
import { PoolUse } from './pool-use'
import { RunningStatement, type StatementEnding } from './running-statement'
import type { StatementBounds } from './statement-bounds'

/** What one statement needs besides its text and bindings. */
export interface StatementOptions {
  /** Passed through to the driver, as by `knex.raw(…).options(…)`. */
  readonly driver?: Readonly<Record<string, unknown>>
}

/** What bounds the statements of a Knex in time. */
interface StatementLimits {
  readonly deadlines: Deadlines
  /** Of the time in which a statement waits for a connection or for a lock outside of the database. */
  readonly waits: Deadlines
  readonly ending: StatementEnding | undefined
}

/**
 * A statement stops waiting so much of the time, and at most so many milliseconds, before its time is over. Its callers began to wait a
 * little earlier, and what they are told has timed out must not be sent after that.
 */
const PART_AHEAD = 0.05
const MOST_AHEAD_MS = 50

/**
 * The caller's Knex as the statements see it: same pool, same transaction, same events; but what the application has Knex do to the
 * names and results of its own queries (`wrapIdentifier`, `postProcessResponse`) does not reach ours, which are sent as they are written.
 */
export class Database {
  private constructor(
    private readonly knex: Knex,
    private readonly borrowed: BorrowedConnections,
    private readonly limits: StatementLimits,
    private readonly bounds: StatementBounds | undefined
  ) {}

  /**
   * @param timeoutMs after this many milliseconds a statement without bounds of its own is ended on the server
   * @param ending how it is ended there
   */
  static of(knex: Knex, timeoutMs: number, ending?: StatementEnding): Database {
    const waits = new Deadlines(timeoutMs - Math.min(MOST_AHEAD_MS, timeoutMs * PART_AHEAD))
    const limits = { deadlines: new Deadlines(timeoutMs), waits, ending }
    return new Database(knex, BorrowedConnections.of(knex.client), limits, undefined)
  }

  /** The same for one statement, which has bounds of its own. */
  within(bounds: StatementBounds): Database {
    return new Database(this.knex, this.borrowed, this.limits, bounds)
  }

  /** Milliseconds that a statement may wait for a locked row, or undefined for as long as the server has it. */
  get lockWaitMs(): number | undefined {
    return this.bounds?.lockWaitMs
  }

  get client(): KnexClient {
    return this.knex.client
  }

  /** True inside a transaction of the caller: what is done here may be rolled back, and shares one connection with it. */
  get isTransaction(): boolean {
    return this.client.transacting === true
  }

  /** Throws where nobody waits for the statement any more. */
  refuseIfGivenUp(): void {
    this.bounds?.refuseIfGivenUp()
  }

  /** How long a statement may wait before the database works on it, in milliseconds. */
  get waitMs(): number {
    return this.limits.waits.timeoutMs
  }

  /** Runs one statement; `?` marks a binding. Answers what the driver answers. */
  run(sql: string, bindings: readonly unknown[] = [], options: StatementOptions = {}): Promise<unknown> {
    return this.use((connection) => this.runOn(connection, sql, bindings, options))
  }

  /**
   * The same on a connection that {@link use} gave. By hand what `knex.raw` does, whose builder, runner and response events cost as much as
   * the driver. The `query` events are the same.
   */
  async runOn(connection: Connection, sql: string, bindings: readonly unknown[], { driver = {} }: StatementOptions): Promise<unknown> {
    const { response } = await this.client.query(connection, { method: 'raw', sql, bindings, options: driver })
    return response
  }

  /** A connection of Knex's pool, for work that takes no time. Give it back by {@link release}. */
  acquire(): Promise<Connection> {
    return PoolUse.of(this.client).acquire(this.limits.waits)
  }

  release(connection: Connection): void {
    PoolUse.of(this.client).release(connection)
  }

  /** Does `work` on a connection of Knex's pool, within the time. */
  async use<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    const acquired = this.borrowed.acquire(this.limits.waits)
    const connection = isPromiseLike(acquired) ? await acquired : acquired
    try {
      return await this.inTime(connection, work)
    } finally {
      this.borrowed.giveBack(connection)
    }
  }

  private inTime<T>(connection: Connection, work: (connection: Connection) => Promise<T>): Promise<T> {
    const { client, bounds } = this
    const { deadlines, ending } = this.limits
    this.refuseIfGivenUp()
    const statement = new RunningStatement(client, connection, ending, work(connection))
    if (bounds === undefined) return statement.outcomeWithin(deadlines)
    bounds.begin(statement)
    return statement.outcome(deadlines.timeoutMs)
  }

  /** Runs `work` in a transaction, or in a savepoint if this already is one. */
  transaction<T>(work: (db: Database) => Promise<T>): Promise<T> {
    return PoolUse.of(this.client).during(this.waitMs, (begun) =>
      this.knex.transaction((trx) => {
        begun()
        return work(new Database(trx, BorrowedConnections.of(trx.client), this.limits, this.bounds))
      })
    )
  }
}
