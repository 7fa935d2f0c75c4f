import type { Connection, KnexClient } from './knex-client'

/** A request to a server to end the statement of one of its connections. */
export interface EndRequest {
  /**
   * Resolves when the request can do nothing any more, so that it cannot hit the next statement of the connection; rejects if it did not
   * reach the server.
   */
  readonly done: Promise<void>
  /** Gives the request up. */
  stop(): void
}

/** How a dialect ends the statement that is under way on a connection. */
export interface StatementEnding {
  /** False if the database is in this process: there is no server to tell, and cutting the connection may lose the database. */
  hasServer(connection: Connection): boolean
  /** Tells the server, on a connection of its own; undefined where it is not certain that the same server would be told. */
  request(client: KnexClient, connection: Connection): EndRequest | undefined
  /** Cuts the connection to the server, so that everything that waits on it fails. */
  cut(connection: Connection): void
  /** True for an error that does not say what became of the statement: the connection was lost. */
  isLost(error: unknown): boolean
}
