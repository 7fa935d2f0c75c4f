import { SessionStoreError } from '../errors'

/** The command line is wrong: for example, a command is misspelt, or a file does not exist. */
export class UsageError extends SessionStoreError {
  readonly code = 'ERR_SESSION_USAGE'
}

/** The command cannot run here, because Knex, the driver or the database file is missing. */
export class SetupError extends SessionStoreError {
  readonly code = 'ERR_SESSION_SETUP'
}
