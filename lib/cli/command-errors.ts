import { SessionStoreError } from '../errors'

/** The command line is wrong: a misspelt command or option, a file that is not there. */
export class UsageError extends SessionStoreError {
  readonly code = 'ERR_SESSION_USAGE'
}

/** What the command needs is not there: Knex, a driver, the file of a database. */
export class SetupError extends SessionStoreError {
  readonly code = 'ERR_SESSION_SETUP'
}
