import { URL_FORMS } from '../dialects/connection-url'
import { type CommandOptions, type Given, textOption } from './command'
import { UsageError } from './command-errors'

/** Options of every command. */
export const COMMON: CommandOptions = {
  json: { about: 'print the result as one line of JSON' },
  help: { about: 'print this' }
}

/** Options that choose the database. */
export const CONNECTION: CommandOptions = {
  knexfile: { value: 'file', about: 'the knexfile of the application (default: knexfile.js, .cjs, .mjs or .ts in this folder)' },
  env: { value: 'name', about: 'the environment in the knexfile (default: NODE_ENV, else development)' },
  url: { value: 'url', about: `in place of a knexfile: ${URL_FORMS}` },
  timeout: { value: 'ms', about: 'how long a statement may take, in milliseconds (default: 10000)' }
}

/** Options that choose the table. */
export const TABLE: CommandOptions = {
  table: { value: 'name', about: "the table (default: that of --options, of the knexfile's userParams.sessionsTable, else sessions)" },
  schema: { value: 'name', about: 'the schema of the table' },
  options: { value: 'file', about: 'a module with the options that the application gives to KnexSessionStore, without knex' }
}

/** The option that chooses the rows of one store. */
export const PREFIX: CommandOptions = {
  prefix: { value: 'text', about: "the store's option prefix (default: that of --options)" }
}

/** The option of commands that work in batches. */
export const BATCH: CommandOptions = {
  batch: { value: 'rows', about: 'how many rows are done at once' }
}

/** Returns the number that the user gave for an option. Undefined if the option was not given. */
export function numberOption(given: Given, name: string, most: number): number | undefined {
  const text = textOption(given, name)
  if (text === undefined) return undefined
  const number = Number(text)
  if (!Number.isSafeInteger(number) || number < 1 || number > most) {
    throw new UsageError(`--${name} must be a whole number from 1 to ${most}, got ${JSON.stringify(text)}`)
  }
  return number
}
