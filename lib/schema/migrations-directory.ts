import { join } from 'node:path'

/**
 * The folder of the migrations in this package, for `knex migrate`. Their options come from `userParams.sessionsTable`.
 *
 * @example
 * // knexfile.js
 * module.exports = {
 *   client: 'pg',
 *   connection: process.env.DATABASE_URL,
 *   migrations: { directory: ['./migrations', migrationsDirectory] },
 *   userParams: { sessionsTable: { tableName: 'web_sessions' } }
 * }
 */
export const migrationsDirectory: string = join(__dirname, '..', '..', 'migrations')
