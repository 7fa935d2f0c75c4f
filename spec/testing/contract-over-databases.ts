import { afterAll, beforeAll, describe, it } from 'vitest'
import { KnexSessionStore, type KnexSessionStoreOptions } from '../../lib'
import { sessionStoreContract } from '../../lib/testing/session-store-contract'
import { type AnyDatabaseName, databasesAndPglite, describeDatabases, type OpenDatabase } from '../support/databases'
import { checkLeaksPerFile } from '../support/leaks'

/**
 * The whole contract on KnexSessionStore with these options, on every database.
 *
 * @param skip titles of specs that these options by design do not meet, with the reason
 */
export function contractOverDatabases(
  title: string,
  options: Partial<KnexSessionStoreOptions> = {},
  skip: Readonly<Record<string, string>> = {}
): void {
  checkLeaksPerFile()
  describeDatabases(
    title,
    (database) => {
      let opened: OpenDatabase<AnyDatabaseName>
      let tables = 0
      beforeAll(async () => {
        opened = await database.open()
      })
      afterAll(() => opened[Symbol.asyncDispose]())

      sessionStoreContract(
        // A table of its own is an empty store, and costs less than a database of its own.
        () => new KnexSessionStore({ knex: opened.knex, tableName: `sessions_${++tables}`, pruneIntervalMs: false, ...options }),
        { describe, it, skip }
      )
    },
    databasesAndPglite
  )
}
