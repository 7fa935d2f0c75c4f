import { createRequire } from 'node:module'
import knexFactory, { type Knex } from 'knex'
import { SessionStoreError } from '../errors'

/** The database driver that a helper for tests needs is not installed, or not for this version of Node.js. */
export class MissingDriverError extends SessionStoreError {
  readonly code = 'ERR_SESSION_MISSING_DRIVER'
}

/** A database for one test. Dispose of it (`await using`) or call `knex.destroy()`. */
export interface MemoryDatabase extends AsyncDisposable {
  /** A Knex on the database, for the store and for the application's own tables. */
  readonly knex: Knex
}

/** Settings of {@link memoryDatabase}: those of Knex, except the ones that make it a database in memory. */
export type MemoryDatabaseOptions = Omit<Knex.Config, 'client' | 'connection' | 'dialect' | 'version'>

/**
 * An empty SQLite database in the memory of this process, of its own: nothing is on disk, nothing is shared with another call, and
 * nothing is left when it is disposed of. It needs better-sqlite3, which is yours to install.
 *
 * @throws {MissingDriverError} where better-sqlite3 is not installed, or is a version that does not run on this Node.js.
 * @example
 * ```ts
 * import { KnexSessionStore } from 'knex-session-store'
 * import { memoryDatabase } from 'knex-session-store/testing'
 *
 * await using database = memoryDatabase()
 * const store = new KnexSessionStore({ knex: database.knex })
 * ```
 */
export function memoryDatabase(options: MemoryDatabaseOptions = {}): MemoryDatabase {
  requireDriver()
  const knex = knexFactory({
    useNullAsDefault: true,
    ...options,
    client: 'better-sqlite3',
    connection: { filename: ':memory:' },
    // The database lives in its connection: a second one would be another, empty database, and a closed one takes the tables along.
    pool: { ...options.pool, min: 1, max: 1 }
  })
  return { knex, [Symbol.asyncDispose]: () => knex.destroy() }
}

/** Looks for the driver where Knex will, because Knex prints a stack trace before it throws. */
function requireDriver(): void {
  const requireFromKnex = findKnex()
  if (requireFromKnex === undefined) return
  let engines: { node?: string } | undefined
  try {
    engines = (requireFromKnex('better-sqlite3/package.json') as { engines?: { node?: string } }).engines
  } catch (error) {
    throw new MissingDriverError(
      'memoryDatabase() needs better-sqlite3, which is not installed; run: npm install --save-dev better-sqlite3',
      {
        cause: error
      }
    )
  }
  // A driver built for a later Node.js does not fail, it ends the process with a segmentation fault.
  const [, oldest] = /^>=\s*(\d+)/.exec(engines?.node ?? '') ?? []
  const [running] = process.versions.node.split('.')
  if (oldest !== undefined && Number(running) < Number(oldest)) {
    throw new MissingDriverError(
      `memoryDatabase() needs a better-sqlite3 that runs on Node.js ${running}, and the installed one needs Node.js ${oldest} or newer; run: npm install --save-dev better-sqlite3@12`
    )
  }
}

/** Undefined in a bundle, where Knex's path is not known. */
function findKnex(): NodeJS.Require | undefined {
  if (typeof __filename !== 'string') return undefined
  try {
    return createRequire(createRequire(__filename).resolve('knex'))
  } catch {
    return undefined
  }
}
