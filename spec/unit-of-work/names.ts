import type { Knex } from 'knex'
import type { Database, OpenDatabase, OpenOptions } from '../support/databases'

/** A database with one table of unique names, and the statements that Knex sent since then. */
export interface NamesDatabase extends OpenDatabase {
  readonly statements: string[]
}

export async function openNames(database: Database, options?: OpenOptions): Promise<NamesDatabase> {
  const opened = await database.open(options)
  await createNames(opened.knex)
  const statements: string[] = []
  opened.knex.on('query', ({ sql }: { sql: string }) => statements.push(sql))
  return Object.assign(opened, { statements })
}

export async function createNames(knex: Knex): Promise<void> {
  await knex.schema.createTable('names', (table) => {
    table.increments('id')
    table.string('name', 50).notNullable().unique()
  })
}

/** A table that refers to names, which is looked at when a transaction is committed. Not on MySQL, which cannot wait so long. */
export async function createPets(knex: Knex): Promise<void> {
  await knex.raw('CREATE TABLE pets (name_id integer REFERENCES names (id) DEFERRABLE INITIALLY DEFERRED)')
  // SQLite looks at no foreign key unless it is told to.
  if (knex.client.driverName === 'better-sqlite3') await knex.raw('PRAGMA foreign_keys = 1')
}

export function namesIn(knex: Knex): Promise<string[]> {
  return knex('names').orderBy('name').pluck('name') as unknown as Promise<string[]>
}

/** Connections that are in use at this moment. */
export function usedConnections(knex: Knex): number {
  return (knex.client as { pool: { numUsed(): number } }).pool.numUsed()
}
