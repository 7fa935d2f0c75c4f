import { type ForeignTableError, InvalidOptionError, SessionStoreError, TableMissingError, UnknownOptionError } from '../errors'
import type { Given } from './command'

/** What is wrong, and what to do about it. */
export interface Problem {
  readonly what: string
  readonly mend: string
}

/** The table is missing. The message names what to type, not the options of the API. */
class NoTableError extends SessionStoreError {
  readonly code = 'ERR_SESSION_TABLE_MISSING'

  constructor(readonly problem: Problem) {
    super(`${problem.what}. ${problem.mend}`)
  }
}

/** Returns the error to show at a terminal. Its advice is about the command line, not about the API. */
export function explain(error: unknown): Error {
  if (!(error instanceof TableMissingError)) return error as Error
  return new NoTableError({
    what: `the sessions table ${error.table} does not exist in this database`,
    mend: 'Check --knexfile and --env, or --url, and --table and --schema. If the table has yet to be made: knex-session-store sql prints its statements'
  })
}

/** Splits the message of the error in two: the problem and the advice. */
export function problemOf(error: TableMissingError | ForeignTableError): Problem {
  const explained = explain(error)
  if (explained instanceof NoTableError) return explained.problem
  const [what = '', mend = ''] = explained.message.split(/\. (?=Set the option tableName)/)
  return { what, mend: `Check --table and --schema. ${mend}` }
}

/** The options of the API, each with the command-line option that sets it. */
const TYPED: Readonly<Record<string, string>> = {
  tableName: '--table',
  schemaName: '--schema',
  prefix: '--prefix',
  from: '--from',
  fromTable: '--from-table',
  fromSchema: '--from-schema',
  timeoutMs: '--timeout',
  client: '--client'
}

/** Returns the message of the error. It replaces names of API options by the names of command-line options. */
export function asTyped(error: Error, { options, values }: Given): string {
  const { message } = error
  const name = error instanceof InvalidOptionError ? error.option : ''
  if (error instanceof UnknownOptionError && options.options !== undefined) return `${message} (in the module of --options)`
  if (name === 'ownerId') return message.replace(/^ownerId/, values.length > 0 ? '<id>' : '--owner')
  const typed = Object.hasOwn(TYPED, name) ? TYPED[name] : undefined
  // If the user did not type the option, its value comes from the module of --options.
  const isOfModule = options.options !== undefined && typed !== undefined && options[typed.slice(2)] === undefined
  const head = isOfModule ? `${name} (${typed})` : typed
  const rest = head === undefined ? message : message.slice(name.length)
  return (
    (head ?? '') +
    rest
      .replace(/\b(tableName|schemaName): '([^']*)'/g, (_, option: string, value: string) => `${TYPED[option]} ${value}`)
      .replace('unless schemaName is given', 'unless --schema is given')
      .replace(/\boption timeoutMs\b/g, '--timeout')
      .replace(/\((?:from\w*(?:, )?)+\)/g, (list) =>
        list.replace(/\w+/g, (option) => TYPED[option] ?? `the option ${option} of importSessions()`)
      )
  )
}
