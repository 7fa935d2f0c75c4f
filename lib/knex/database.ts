import type { Knex } from 'knex'
import { Deadlines } from '../deadlines'
import { isPromiseLike } from '../soon'
import { BorrowedConnections } from './borrowed-connections'
import type { Connection, KnexClient } from './knex-client'
import { RunningStatement, StatementTime } from './running-statement'
import type { StatementBounds } from './statement-bounds'
import type { StatementEnding } from './statement-ending'

/** What one statement needs besides its text and bindings. */
export interface StatementOptions {
  /** Passed through to the driver, as by `knex.raw(…).options(…)`. */
  readonly driver?: Readonly<Record<string, unknown>>
}

/**
 * The caller's Knex as the statements see it: same pool, same transaction, same events; but what the application has Knex do to the
 * names and results of its own queries (`wrapIdentifier`, `postProcessResponse`) does not reach ours, which are sent as they are written.
 */
export class Database {
  private constructor(
    private readonly knex: Knex,
    private readonly deadlines: Deadlines,
    private readonly ending: StatementEnding | undefined,
    private readonly borrowed: BorrowedConnections,
    private readonly bounds: StatementBounds | undefined,
    /** True for the statements of a transaction that is bounded as a whole. */
    private readonly isPart: boolean
  ) {}

  /**
   * @param timeoutMs after this many milliseconds a statement without bounds of its own is ended on the server
   * @param ending how it is ended there
   */
  static of(knex: Knex, timeoutMs: number, ending?: StatementEnding): Database {
    return new Database(knex, new Deadlines(timeoutMs), ending, BorrowedConnections.of(knex.client), undefined, false)
  }

  /** The same for one statement, which has bounds of its own. */
  within(bounds: StatementBounds): Database {
    return new Database(this.knex, this.deadlines, this.ending, this.borrowed, bounds, this.isPart)
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

  /** Does `work` on a connection of Knex's pool, within the time. */
  async use<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    const acquired = this.borrowed.acquire()
    const connection = isPromiseLike(acquired) ? await acquired : acquired
    try {
      this.refuseIfGivenUp()
      // What is a part is bounded as a whole.
      return await (this.isPart ? work(connection) : this.inTime(connection, work))
    } finally {
      this.borrowed.giveBack(connection)
    }
  }

  private async inTime<T>(connection: Connection, work: (connection: Connection) => Promise<T>): Promise<T> {
    const { bounds, deadlines } = this
    const statement = new RunningStatement(this.client, connection, this.ending, work(connection))
    bounds?.begin(statement)
    const time = bounds === undefined ? new StatementTime(deadlines, statement) : undefined
    try {
      return await statement.work
    } catch (error) {
      throw await statement.explain(error, deadlines.timeoutMs)
    } finally {
      time?.stop()
      if (statement.untilQuiet !== undefined) await statement.untilQuiet
    }
  }

  /**
   * Runs `work` in a transaction, or in a savepoint if this already is one. With bounds all of it is one statement to them, its beginning
   * and its end too.
   */
  transaction<T>(work: (db: Database) => Promise<T>): Promise<T> {
    const { knex, bounds } = this
    if (bounds === undefined || this.isTransaction) return knex.transaction((trx) => work(this.on(trx, this.isPart)))
    return this.use((connection) =>
      knex
        .transaction((trx) => work(this.on(trx, true)), { connection })
        // Of a connection that it was given, Knex does not take it away.
        .finally(() => delete connection.__knexTxId)
    )
  }

  private on(trx: Knex, isPart: boolean): Database {
    return new Database(trx, this.deadlines, this.ending, BorrowedConnections.of(trx.client), this.bounds, isPart)
  }
}
