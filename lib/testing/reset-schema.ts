import type { Knex } from 'knex'
import { detectWorkDialect } from '../dialects/detect-work'

/**
 * Drops every table and view of the database, or of the schema, that this Knex uses, and makes them anew by `create`. For tests of what
 * cannot be rolled back. An application that is running on it goes on: its session store makes its table again by itself.
 *
 * It waits five seconds for a table that is locked, and then fails, rather than wait for ever for a transaction that nobody ends.
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
