import { join } from 'node:path'

/**
 * The folder of the migrations in this package, for `knex migrate`. Their options come from `userParams.sessionsTable`.
 * Name it before your own folder: `knex migrate:make` writes into the last one.
 *
 * @example
 * // knexfile.js
 * module.exports = {
 *   client: 'pg',
 *   connection: process.env.DATABASE_URL,
 *   migrations: { directory: [migrationsDirectory, './migrations'] },
 *   userParams: { sessionsTable: { tableName: 'web_sessions' } }
 * }
 */
export const migrationsDirectory: string = join(__dirname, '..', '..', 'migrations')
