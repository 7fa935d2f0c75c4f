import type { KnexClient } from '../knex/knex-client'
import { nativeClient } from './placed-knex'

/**
 * Makes a client for a stream. A stream has to be returned at once, so its client gets its connection later.
 *
 * @param pool the client of the pool. The stream gets the runner that Knex gave it, also if the pool is a test's transaction
 * @param client returns the client of the transaction that the stream runs in
 */
export function streamClientOf(pool: KnexClient, client: () => Promise<KnexClient>): KnexClient {
  const own: Partial<KnexClient> = {
    acquireConnection: async () => (await client()).acquireConnection(),
    // The connection goes back to the pool when the transaction ends.
    releaseConnection: async () => undefined,
    stream: async (...args) => (await client()).stream(...args)
  }
  return Object.assign(Object.create(nativeClient(pool)), own)
}
