import type { Connection, KnexClient } from './knex-client'

/** A request to a server to end the statement of one of its connections. */
export interface EndRequest {
  /**
   * Resolves when the request cannot have an effect any more, so it cannot end the next statement of the connection. Rejects if the request
   * did not reach the server.
   */
  readonly done: Promise<void>
  /** Gives the request up. */
  stop(): void
}

/** How a dialect ends the statement that is in flight on a connection. */
export interface StatementEnding {
  /** False if the database is in this process: there is no server to tell, and cutting the connection may lose the database. */
  hasServer(connection: Connection): boolean
  /**
   * Sends the request to the server on a connection of its own. Returns undefined if it is not certain that this reaches the same server.
   */
  request(client: KnexClient, connection: Connection): EndRequest | undefined
  /** Cuts the connection to the server, so that everything that waits on it fails. */
  cut(connection: Connection): void
  /** True for an error that does not say what became of the statement, because the connection was lost. */
  isLost(error: unknown): boolean
}
