import { Hidden, InvalidOptionError } from '../errors'
import { RESET } from '../sessions/reset'
import type { KnexSessionStore } from '../store'

/**
 * Empties the sessions table of the store and forgets all that is known of its sessions, in every store of that table in this process: what is
 * set afterwards is new, also where the test had loaded or destroyed a session of the same id before. All rows go, whatever their prefix.
 *
 * Writes that are under way are waited for; a request that is still being answered is not, and may write again what it holds.
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
