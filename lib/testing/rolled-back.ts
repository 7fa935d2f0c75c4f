import type { Knex } from 'knex'
import { detectWorkDialect } from '../dialects/drivers'
import { SessionStoreError } from '../errors'
import { clientOf, type KnexContainer } from '../knex/knex-client'
import { placedKnex } from '../unit-of-work/placed-knex'
import { TestTransaction } from './test-transaction'

/** A transaction for one test. Dispose of it (`await using`), or call `rollBack()`. */
export interface RolledBack extends AsyncDisposable {
  /**
   * A Knex for the application under test, its session store and its unit of work, and for the test itself. All that is done with it is in
   * one transaction on one connection, begun with the first statement:
   * a statement that fails undoes itself alone, as it would outside of a transaction; a transaction is a savepoint; transactions that would
   * run side by side take turns.
   */
  readonly knex: Knex
  /** Undoes everything and gives the connection back. After that every use of `knex` is an error. */
  rollBack(): Promise<void>
}

/** Something used the Knex of a test that is over. */
export class TestEndedError extends SessionStoreError {
  readonly code = 'ERR_SESSION_TEST_ENDED'

  constructor() {
    super(
      'the test that this Knex belongs to is over, and what it did is rolled back: await the requests and jobs of the test before its end'
    )
  }
}

/** A change of the schema that the database would commit at once, with all that the test did before. */
export class SchemaChangeCommitsError extends SessionStoreError {
  readonly code = 'ERR_SESSION_SCHEMA_CHANGE_COMMITS'

  constructor(dialect: string) {
    super(
      `${dialect} commits the transaction when the schema changes, so the test could not be rolled back; make the tables before the test, or use resetSchema()`
    )
  }
}

/**
 * Runs a test in a transaction that is rolled back at its end. So no test sees the work of another, and nothing has to be deleted.
 *
 * The application under test runs in the same process and is given `knex` in place of its own. The test and later requests see what a
 * request commits, and not what it rolls back. Isolation levels and `readOnly` have no effect, because everything is in one transaction. A
 * plain statement beside a transaction that rolls back would have a connection of its own otherwise; here it is undone with the
 * transaction.
 *
 * @example
 * import { rolledBack } from 'knex-session-store/testing'
 *
 * it('registers a visitor', async () => {
 *   await using test = rolledBack(knex)
 *   const app = makeApp(test.knex)
 *   await signIn(app, 'ada')
 *   expect(await test.knex('users').pluck('name')).toEqual(['ada'])
 * })
 */
export function rolledBack(knex: Knex): RolledBack {
  const dialect = detectWorkDialect(knex)
  const refusal = () => new TestEndedError()
  const test = new TestTransaction(knex, {
    failureAborts: dialect.failureAborts,
    refusal,
    admit({ sql }) {
      if (dialect.schemaChangesCommit && changesSchema(sql)) throw new SchemaChangeCommitsError(dialect.name)
    }
  })
  const placed = placedKnex(knex, () => test, {
    end: { isOver: () => test.isOver, refusal },
    properties: {
      // Knex tells its client the same of both kinds, and a handle is ended by hand.
      transaction: (first: KnexContainer | object | undefined, config?: object) =>
        typeof first === 'function' ? clientOf(placed).transaction(first as KnexContainer, config) : test.handle(first)
    }
  })
  return { knex: placed, rollBack: () => test.rollBack(), [Symbol.asyncDispose]: () => test.rollBack() }
}

function changesSchema(sql: string): boolean {
  return /^\s*(create|alter|drop|truncate|rename)\s+(?!temporary)/i.test(sql)
}
