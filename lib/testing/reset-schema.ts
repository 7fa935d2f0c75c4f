import type { Knex } from 'knex'
import { detectWorkDialect } from '../dialects/drivers'

/**
 * Drops every table and view of the database or schema that this Knex uses, and makes them anew by `create`. For tests of work that cannot
 * be rolled back. A running application goes on: its session store makes its table again by itself.
 *
 * If a table is locked, it waits five seconds and then fails. It never waits for ever for a transaction that is not ended.
 *
 * @param create makes the tables: `(knex) => knex.migrate.latest()`, or `(knex) => knex.schema.createTable(…)`. @default nothing
 * @example
 * import { resetSchema } from 'knex-session-store/testing'
 *
 * beforeEach(() => resetSchema(knex, () => knex.migrate.latest()))
 */
export async function resetSchema(knex: Knex, create?: (knex: Knex) => unknown): Promise<void> {
  await detectWorkDialect(knex).dropAll(knex)
  await create?.(knex)
}
