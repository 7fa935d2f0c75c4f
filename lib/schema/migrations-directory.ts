import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { SessionStoreError } from '../errors'

/** The folder of the migrations is not beside this package, because a bundler has put the package into a file of the application. */
export class MigrationsDirectoryError extends SessionStoreError {
  readonly code = 'ERR_SESSION_MIGRATIONS_DIRECTORY'

  constructor(lookedIn: string | undefined) {
    super(
      `the packaged migrations are not ${lookedIn === undefined ? 'beside this file' : `in ${lookedIn}`}, probably because the package was bundled. ` +
        'Leave knex-session-store out of the bundle (as an external module), or write a migration of your own with createSessionsTable(knex, { version: 1 })'
    )
  }
}

/** A file that is always in the folder, because released migrations are never removed. */
const FIRST_MIGRATION = '20261122000000_create_sessions_table.js'

/**
 * The folder of the migrations in this package, for `knex migrate`. The migrations take their options from `userParams.sessionsTable`. Name this
 * folder before your own: `knex migrate:make` writes into the last one.
 *
 * The folder is looked for when this property is read, so a bundle that does not read it works without the folder.
 *
 * @throws {MigrationsDirectoryError} if it is read in a bundle, which has no such folder beside it
 * @example
 * // knexfile.ts
 * import { migrationsDirectory } from 'knex-session-store'
 *
 * export default {
 *   client: 'pg',
 *   connection: process.env.DATABASE_URL,
 *   migrations: { directory: [migrationsDirectory, './migrations'] },
 *   userParams: { sessionsTable: { tableName: 'web_sessions' } }
 * }
 */
export declare const migrationsDirectory: string

// A bundler may replace __dirname by another folder, or leave it undefined. So the file that is found there decides.
Object.defineProperty(exports, 'migrationsDirectory', {
  enumerable: true,
  get(): string {
    const directory = typeof __dirname === 'string' ? join(__dirname, '..', '..', 'migrations') : undefined
    if (directory === undefined || !existsSync(join(directory, FIRST_MIGRATION))) throw new MigrationsDirectoryError(directory)
    return directory
  }
})
