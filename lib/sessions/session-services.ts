import type { ConnectionBudget } from '../batching/connection-budget'
import { afterCommit } from '../knex/transaction-end'
import { rangeOf } from '../table/live-rows'
import type { SessionTable } from '../table/session-table'
import { LONGEST_LIFE_MS } from './migration'
import { Owners } from './owners'
import { SessionScan } from './session-scan'
import { Sessions } from './sessions'
import type { SessionsParts } from './sessions-parts'
import { LogOuts, type SignIn } from './sign-ins'

/** The parts of a store that work on sessions. */
export interface SessionServices {
  readonly sessions: Sessions
  readonly scan: SessionScan
  readonly owners: Owners
  readonly logOuts: LogOuts
}

interface Given extends Pick<SessionsParts, 'options' | 'records' | 'order' | 'revisions' | 'isCopied' | 'announce'> {
  readonly entry: object
  readonly table: SessionTable
  readonly budget: ConnectionBudget
  /** Limits the time of one step of a call. */
  readonly bound: <T>(operation: string, step: Promise<T>) => Promise<T>
}

/**
 * Makes the services of a store.
 *
 * @param main the services of the store outside of the transaction, if this store is in one
 */
export function sessionServices(given: Given, main: SessionServices | undefined): SessionServices {
  const { options, table, budget, bound } = given
  const { knex, maxLifetimeSeconds, maxSessionsPerOwner, onError } = options
  const signedIn = (signIn: SignIn): Promise<void> => (main?.owners ?? owners).signedIn(signIn, maxSessionsPerOwner, onError)
  const sessions: Sessions = new Sessions({
    ...given,
    transaction: knex.isTransaction ? knex.client : undefined,
    afterSignIn: async (signIn) => (main === undefined ? signedIn(signIn) : afterCommit(knex, () => signedIn(signIn).catch(onError))),
    hasLoggedOut: (session) => owners.hasLoggedOut(session),
    bury: (id, until) =>
      bound(
        'destroy',
        budget.use(() => table.bury(id, until))
      )
  })
  const range = rangeOf(options)
  const shown = { ...range, maxLifetimeMs: maxLifetimeSeconds * 1000 }
  const markMs = options.migrateFrom === undefined ? undefined : LONGEST_LIFE_MS
  const logOuts = main?.logOuts ?? LogOuts.of(given.entry)
  const owners: Owners = new Owners({ ...given, logOuts, sessions, range, shown, markMs })
  return { sessions, scan: new SessionScan(given, range, shown, bound), owners, logOuts }
}
