import type { Connection, KnexClient } from './knex-client'

/**
 * Makes sure that a transaction of ours has ended when Knex gives its connection back. Knex also gives it back if COMMIT or ROLLBACK was
 * not sent because a listener threw an error.
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
