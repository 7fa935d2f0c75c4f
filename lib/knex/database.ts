import type { Knex } from 'knex'
import { withinTime } from '../callbacks'
import { Deadlines } from '../deadlines'
import { TimeoutError } from '../errors'
import { isPromiseLike } from '../soon'
import { BorrowedConnections } from './borrowed-connections'
import type { Connection, KnexClient } from './knex-client'
import { Listeners } from './listeners'
import { asListenerError, runAsKnex, watched } from './statement-events'
import { keepEndable } from './transaction-end'

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
    private readonly listeners = new Listeners(knex)
  ) {
    this.borrowed = BorrowedConnections.of(knex.client)
  }

  /** @param timeoutMs after this many milliseconds a statement is given up and its connection is thrown away */
  static of(knex: Knex, timeoutMs: number): Database {
    return new Database(knex, new Deadlines(timeoutMs))
  }

  get client(): KnexClient {
    return this.knex.client
  }

  /** True inside a transaction of the caller: what is done here may be rolled back, and shares one connection with it. */
  get isTransaction(): boolean {
    return this.client.transacting === true
  }

  /** Whether somebody listens to Knex's events of our statements. Where nobody does, they go a shorter way, and nothing is emitted. */
  get isListenedTo(): boolean {
    return this.listeners.areThere
  }

  /** Runs one statement; `?` marks a binding. Answers what the driver answers. */
  run(sql: string, bindings: readonly unknown[] = [], options: StatementOptions = {}): Promise<unknown> {
    return this.use((connection) => this.runOn(connection, sql, bindings, options))
  }

  /**
   * The same on a connection that {@link use} gave. Where nobody listens, by hand what `knex.raw` does, whose builder, runner and response
   * events cost as much as the driver.
   */
  async runOn(connection: Connection, sql: string, bindings: readonly unknown[], { driver = {} }: StatementOptions): Promise<unknown> {
    if (this.isListenedTo) return runAsKnex(this.client, connection, { sql, bindings, options: driver })
    const { response } = await this.client.query(connection, { method: 'raw', sql, bindings, options: driver })
    return response
  }

  /** Does `work` on a connection of Knex's pool, within the time. */
  async use<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    const acquired = this.borrowed.acquire()
    const connection = isPromiseLike(acquired) ? await acquired : acquired
    return this.inTime(connection, () => work(connection))
  }

  private async inTime<T>(connection: Connection, work: () => Promise<T>): Promise<T> {
    try {
      return await withinTime(work(), 'statement', this.deadlines)
    } catch (error) {
      // Its answer may still come, and must not be taken for that of the next statement: the pool destroys such a connection.
      if (error instanceof TimeoutError) connection.__knex__disposed = error
      throw error
    } finally {
      this.borrowed.giveBack(connection)
    }
  }

  /** Runs `work` in a transaction, or in a savepoint if this already is one. */
  async transaction<T>(work: (db: Database) => Promise<T>): Promise<T> {
    const client = watched(this.client)
    const container = (trx: Knex.Transaction) => {
      if (!this.isTransaction) keepEndable(trx.client)
      // Nobody else knows this transaction, so nobody can listen to it.
      return work(new Database(trx, this.deadlines, this.listeners))
    }
    try {
      return await (this.isTransaction ? this.knex.transaction(container) : client.transaction(container))
    } catch (error) {
      throw asListenerError(error)
    }
  }
}
