import type { Connection, KnexClient } from './knex-client'

/**
 * Sees to it that a transaction of ours, by its client, is over when Knex gives its connection back. Knex gives it back too where COMMIT or
 * ROLLBACK was not sent, because a listener threw on hearing of it.
 */
export function keepEndable(client: KnexClient): void {
  const { query } = client
  client.query = async (connection, statement) => {
    try {
      return await query.call(client, connection, statement)
    } catch (error) {
      if (typeof statement === 'string') await rollBackUnheard(client, connection)
      throw error
    }
  }
}

async function rollBackUnheard(client: KnexClient, connection: Connection): Promise<void> {
  const unheard = Object.create(client, { emit: { value: () => false } }) as KnexClient
  const { query } = Object.getPrototypeOf(client) as KnexClient
  try {
    await query.call(unheard, connection, 'ROLLBACK')
  } catch (error) {
    connection.__knex__disposed = error
  }
}
