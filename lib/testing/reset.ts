import { Hidden, InvalidOptionError } from '../errors'
import { RESET } from '../sessions/reset'
import type { KnexSessionStore } from '../store'

/**
 * Empties the sessions table of the store, and makes every store of that table in this process forget what it knows of sessions. A session
 * that is set afterwards is new, even if the test had loaded or destroyed a session of the same id before. All rows are deleted, whatever
 * their prefix.
 *
 * It waits for writes in flight. It does not wait for requests that are still running, which may write their sessions again.
 *
 * @param store any store of the table, not one in a transaction
 * @throws {InvalidOptionError} if it is no store of this package
 * @throws {DatabaseError} if the rows cannot be deleted
 * @example
 * import { reset } from 'knex-session-store/testing'
 *
 * const store = new KnexSessionStore({ knex })
 * beforeEach(() => reset(store))
 */
export function reset(store: KnexSessionStore): Promise<void> {
  if (typeof store?.[RESET] !== 'function') throw new InvalidOptionError('store', 'a KnexSessionStore', new Hidden(store))
  return store[RESET]()
}
