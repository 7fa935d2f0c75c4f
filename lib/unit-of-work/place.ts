import type { Connection, KnexClient, KnexContainer, RowStream } from '../knex/knex-client'

/** Where builders run: in the pool, in the transaction of a unit of work, or in that of a test. */
export interface Place {
  /** Runs `work` with the client of this place. `method` is the method of the builder, if it has one. */
  run<T>(work: (client: KnexClient) => Promise<T>, method?: string): Promise<T>
  /** Returns a client for a stream. A stream has to be returned at once, so its client gets its connection later. */
  streamClient(): KnexClient
  /** Called with each stream that was made. */
  streamed(stream: RowStream): void
  /** Does what `knex.transaction()` means in this place. */
  transaction(container: KnexContainer, config: object | undefined): Promise<unknown>
  acquireConnection(): Promise<Connection>
  releaseConnection(connection: Connection): Promise<void>
}

/** The pool. Everything runs as it would without this package. */
export class Pool implements Place {
  constructor(private readonly client: KnexClient) {}

  run<T>(work: (client: KnexClient) => Promise<T>): Promise<T> {
    return work(this.client)
  }

  streamClient(): KnexClient {
    return this.client
  }

  streamed(): void {
    // The pool does not wait for streams.
  }

  transaction(container: KnexContainer, config: object | undefined): Promise<unknown> {
    return this.client.transaction(container, config)
  }

  acquireConnection(): Promise<Connection> {
    return this.client.acquireConnection()
  }

  releaseConnection(connection: Connection): Promise<void> {
    return this.client.releaseConnection(connection)
  }
}
