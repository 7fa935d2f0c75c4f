import type { Knex } from 'knex'
import { withinTime } from '../callbacks'
import { Deadlines } from '../deadlines'
import { isOurs, TimeoutError } from '../errors'
import { monotonicNow } from '../natives'
import { isPromiseLike } from '../soon'
import { BorrowedConnections } from './borrowed-connections'
import type { Connection, KnexClient } from './knex-client'
import type { ConnectionVerdict } from './pool-health'
import { refuseEnded } from './transaction-end'

/** Tells what an error of the driver says of the connection. */
export type Judge = (error: unknown) => ConnectionVerdict

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
    private readonly judge: Judge
  ) {
    this.borrowed = BorrowedConnections.of(knex.client)
  }

  /**
   * @param timeoutMs after this many milliseconds a statement is given up and its connection is dropped
   * @param judge tells after which errors a connection is dropped; without it only after a time-out
   */
  static of(knex: Knex, timeoutMs: number, judge: Judge = () => 'sound'): Database {
    // A transaction of the application may be read-only because it was begun so.
    const judgeInside: Judge = (error) => (judge(error) === 'lost' ? 'lost' : 'sound')
    return new Database(knex, new Deadlines(timeoutMs), knex.isTransaction === true ? judgeInside : judge)
  }

  get client(): KnexClient {
    return this.knex.client
  }

  /** True inside a transaction of the caller: what is done here may be rolled back, and shares one connection with it. */
  get isTransaction(): boolean {
    return this.client.transacting === true
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

  /** @throws {TransactionEndedError} in a transaction that has ended */
  refuseEnded(): void {
    if (this.isTransaction) refuseEnded(this.knex)
  }

  /**
   * Does `work` on a connection of Knex's pool, within the time. Does it once more, on another connection, where the first one turned out to
   * lead to a server that takes no writes, and was dropped.
   *
   * @param mayShare true for what never waits for a lock: where the driver pipelines, it may share a connection with another such use
   */
  async use<T>(work: (connection: Connection) => Promise<T>, mayShare = false): Promise<T> {
    const { borrowed } = this
    for (;;) {
      const acquired = borrowed.acquire(mayShare)
      const connection = isPromiseLike(acquired) ? await acquired : acquired
      if (mayShare && connection.pipeline === true) borrowed.share(connection)
      try {
        return await this.inTime(connection, () => work(connection))
      } catch (error) {
        if (this.isTransaction || !borrowed.health.isWorthAnother(error)) throw error
      }
    }
  }

  private async inTime<T>(connection: Connection, work: () => Promise<T>): Promise<T> {
    const { borrowed, client } = this
    const sentAt = monotonicNow()
    try {
      this.refuseEnded()
      return await withinTime(work(), 'statement', this.deadlines)
    } catch (error) {
      // Its answer may still come, and must not be taken for that of the next statement: the pool destroys such a connection.
      if (error instanceof TimeoutError) borrowed.health.unanswered(client, connection, sentAt)
      else if (!isOurs(error)) borrowed.health.failed(client, connection, this.judge(error), error)
      throw error
    } finally {
      borrowed.giveBack(connection)
    }
  }

  /** Runs `work` in a transaction, or in a savepoint if this already is one. */
  async transaction<T>(work: (db: Database) => Promise<T>): Promise<T> {
    this.refuseEnded()
    for (;;) {
      try {
        return await this.knex.transaction((trx) => work(new Database(trx, this.deadlines, this.judge)))
      } catch (error) {
        if (this.isTransaction || !this.borrowed.health.isWorthAnother(error)) throw error
      }
    }
  }
}
