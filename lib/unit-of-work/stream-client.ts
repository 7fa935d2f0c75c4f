import type { KnexClient } from '../knex/knex-client'
import { nativeClient } from './placed-knex'

/**
 * A client for a stream, which has to exist at once and finds its connection later.
 *
 * @param pool the client whose runner the stream gets: that of Knex, also where the pool is a test's transaction
 * @param client returns the client of the transaction that the stream runs in
 */
export function streamClientOf(pool: KnexClient, client: () => Promise<KnexClient>): KnexClient {
  const own: Partial<KnexClient> = {
    acquireConnection: async () => (await client()).acquireConnection(),
    // The connection goes back to the pool with the end of the transaction.
    releaseConnection: async () => undefined,
    stream: async (...args) => (await client()).stream(...args)
  }
  return Object.assign(Object.create(nativeClient(pool)), own)
}
