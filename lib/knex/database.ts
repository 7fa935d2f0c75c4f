import type { Knex } from 'knex'
import { Deadlines } from '../deadlines'
import { isPromiseLike } from '../soon'
import { BorrowedConnections } from './borrowed-connections'
import type { Connection, KnexClient } from './knex-client'
import { RunningStatement, type StatementEnding } from './running-statement'
import type { StatementBounds } from './statement-bounds'

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
  private readonly borrowed: BorrowedConnections

  private constructor(
    private readonly knex: Knex,
    private readonly deadlines: Deadlines,
    private readonly ending: StatementEnding | undefined,
    private readonly bounds: StatementBounds | undefined
  ) {
    this.borrowed = BorrowedConnections.of(knex.client)
  }

  /**
   * @param timeoutMs after this many milliseconds a statement without bounds of its own is ended on the server
   * @param ending how it is ended there
   */
  static of(knex: Knex, timeoutMs: number, ending?: StatementEnding): Database {
    return new Database(knex, new Deadlines(timeoutMs), ending, undefined)
  }

  /** The same for one statement, which has bounds of its own. */
  within(bounds: StatementBounds): Database {
    return new Database(this.knex, this.deadlines, this.ending, bounds)
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
      return await this.inTime(connection, work)
    } finally {
      this.borrowed.giveBack(connection)
    }
  }

  private inTime<T>(connection: Connection, work: (connection: Connection) => Promise<T>): Promise<T> {
    const { client, bounds, deadlines, ending } = this
    this.refuseIfGivenUp()
    const statement = new RunningStatement(client, connection, ending, work(connection))
    if (bounds === undefined) return statement.outcomeWithin(deadlines)
    bounds.begin(statement)
    return statement.outcome(deadlines.timeoutMs)
  }

  /** Runs `work` in a transaction, or in a savepoint if this already is one. */
  transaction<T>(work: (db: Database) => Promise<T>): Promise<T> {
    return this.knex.transaction((trx) => work(new Database(trx, this.deadlines, this.ending, this.bounds)))
  }
}
