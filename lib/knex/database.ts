import type { Knex } from 'knex'
import { withinTime } from '../callbacks'
import { Deadlines } from '../deadlines'
import { TimeoutError } from '../errors'
import { isPromiseLike } from '../soon'
import { BorrowedConnections } from './borrowed-connections'
import type { Connection, KnexClient } from './knex-client'
import { PoolUse } from './pool-use'

/** What one statement needs besides its text and bindings. */
export interface StatementOptions {
  /** Passed through to the driver, as by `knex.raw(…).options(…)`. */
  readonly driver?: Readonly<Record<string, unknown>>
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
  private readonly borrowed: BorrowedConnections

  private constructor(
    private readonly knex: Knex,
    private readonly deadlines: Deadlines,
    private readonly waits: Deadlines
  ) {
    this.borrowed = BorrowedConnections.of(knex.client)
  }

  /** @param timeoutMs after this many milliseconds a statement is given up and its connection is thrown away */
  static of(knex: Knex, timeoutMs: number): Database {
    return new Database(knex, new Deadlines(timeoutMs), new Deadlines(timeoutMs - Math.min(MOST_AHEAD_MS, timeoutMs * PART_AHEAD)))
  }

  get client(): KnexClient {
    return this.knex.client
  }

  /** True inside a transaction of the caller: what is done here may be rolled back, and shares one connection with it. */
  get isTransaction(): boolean {
    return this.client.transacting === true
  }

  /** How long a statement may wait before the database works on it, in milliseconds. */
  get waitMs(): number {
    return this.waits.timeoutMs
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
    return PoolUse.of(this.client).acquire(this.waits)
  }

  release(connection: Connection): void {
    PoolUse.of(this.client).release(connection)
  }

  /** Does `work` on a connection of Knex's pool, within the time. */
  async use<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    const acquired = this.borrowed.acquire(this.waits)
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
  transaction<T>(work: (db: Database) => Promise<T>): Promise<T> {
    return PoolUse.of(this.client).during(this.waitMs, (begun) =>
      this.knex.transaction((trx) => {
        begun()
        return work(new Database(trx, this.deadlines, this.waits))
      })
    )
  }
}
