import type { Knex } from 'knex'
import { withinTime } from '../callbacks'
import { TimeoutError } from '../errors'

/** The parts of Knex's client that Knex does not type but keeps stable; see https://knexjs.org and knex/lib/client.js. */
export interface KnexClient {
  readonly transacting?: boolean
  readonly driverName: string
  readonly config: Knex.Config
  readonly connectionSettings?: object
  readonly pool?: object
  raw(sql: string): Knex.Raw
  query(connection: unknown, statement: object): Promise<{ response: unknown }>
  emit(event: string, ...values: unknown[]): boolean
  acquireConnection(): Promise<unknown>
  releaseConnection(connection: unknown): Promise<void>
  /** A connection that is none of the pool's. */
  acquireRawConnection(): Promise<unknown>
  destroyRawConnection(connection: unknown): Promise<void>
}

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
    /** After this many milliseconds a statement is given up and its connection is thrown away. */
    readonly timeoutMs: number
  ) {}

  static of(knex: Knex, timeoutMs: number): Database {
    return new Database(knex, timeoutMs)
  }

  get client(): KnexClient {
    return this.knex.client
  }

  /** True inside a transaction of the caller: what is done here may be rolled back, and shares one connection with it. */
  get isTransaction(): boolean {
    return this.client.transacting === true
  }

  /**
   * Runs one statement; `?` marks a binding. Answers what the driver answers.
   *
   * By hand what `knex.raw` does, on the connection that Knex's pool hands out: for a statement of a tenth of a millisecond, its builder,
   * runner and response events cost as much as the driver. The application's `query` events are the same.
   */
  async run(sql: string, bindings: readonly unknown[] = [], options: StatementOptions = {}): Promise<unknown> {
    const { client, timeoutMs } = this
    const connection = (await client.acquireConnection()) as { __knex__disposed?: unknown }
    try {
      const query = client.query(connection, { method: 'raw', sql, bindings, options: options.driver ?? {} })
      const { response } = await withinTime(query, 'statement', timeoutMs)
      return response
    } catch (error) {
      // Its answer may still come, and must not be taken for that of the next statement: the pool destroys such a connection.
      if (error instanceof TimeoutError) connection.__knex__disposed = error
      throw error
    } finally {
      client.releaseConnection(connection)
    }
  }

  /** Runs `work` in a transaction, or in a savepoint if this already is one. */
  transaction<T>(work: (db: Database) => Promise<T>): Promise<T> {
    return this.knex.transaction((trx) => work(Database.of(trx, this.timeoutMs)))
  }
}
