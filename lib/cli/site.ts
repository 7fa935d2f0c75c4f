import { resolve } from 'node:path'
import type { Knex } from 'knex'
import { assemble, type Parts } from '../assemble'
import { displayName } from '../dialects/table-definition'
import { type KnexSessionStoreOptions, type ResolvedOptions, resolveOptions } from '../options/store-options'
import { PREFIX_END } from '../record/stored-id'
import { KnexSessionStore } from '../store'
import { type Context, type Given, textOption } from './command'
import { UsageError } from './command-errors'
import { numberOption } from './common-options'
import { readConfiguration } from './configuration'
import { closeKnex, makeKnex } from './connect'
import { givenBy } from './load-module'

/** The application's table and store, for the work of a command. */
export interface Site {
  readonly knex: Knex
  readonly store: KnexSessionStore
  readonly options: ResolvedOptions
  readonly parts: Parts
  /** The name of the table in messages. */
  readonly table: string
}

export type SiteOptions = Partial<Omit<KnexSessionStoreOptions, 'knex'>>

/** The maximum delay of a timer in Node.js, in milliseconds. */
const MAX_MS = 2_147_483_647
const TIMEOUT_MS = 10_000

/**
 * Does `work` on the table that the user named, and closes the connections.
 *
 * @param forced options of the store that this command needs, in place of the application's
 * @param timeoutMs how long a statement may take if the user does not give --timeout
 */
export async function onSite<T>(
  context: Context,
  work: (site: Site) => Promise<T>,
  forced: SiteOptions = {},
  timeoutMs = TIMEOUT_MS
): Promise<T> {
  const { knex, given } = await configuredSite(context, forced, timeoutMs)
  let store: KnexSessionStore | undefined
  try {
    const options = resolveOptions(given)
    store = new KnexSessionStore(given)
    return await work({ knex, store, options, parts: assemble(options), table: displayName(options.table) })
  } finally {
    await store?.close()
    await closeKnex(knex)
  }
}

/** Returns a Knex instance for the database that the user named, and the options of the store. Makes no connection. */
export async function configuredSite(
  context: Context,
  forced: SiteOptions = {},
  timeoutMs = TIMEOUT_MS
): Promise<{ knex: Knex; given: KnexSessionStoreOptions }> {
  const { system, given } = context
  // Must come first: readConfiguration may change the working directory to the folder of the knexfile.
  const cwd = system.cwd()
  const configuration = await readConfiguration(context)
  const application = await applicationOptions(given, cwd)
  const waitMs = numberOption(given, 'timeout', MAX_MS) ?? timeoutMs
  const knex = makeKnex(configuration, waitMs)
  const { userParams } = configuration.config as { userParams?: unknown }
  return {
    knex,
    given: {
      ...tableOfMigrations(userParams),
      ...idsOfBothKinds(context, application),
      ...application,
      ...tableOf(given),
      ...named(given, 'prefix', 'prefix'),
      ...forced,
      knex,
      createTable: false,
      pruneIntervalMs: false,
      unreadable: 'no-session',
      timeoutMs: waitMs
    }
  }
}

/** Returns the options in the module of --options, or no options if there is no module. */
export async function applicationOptions(given: Given, cwd: string): Promise<SiteOptions> {
  const file = textOption(given, 'options')
  if (file === undefined) return {}
  const options = await givenBy(resolve(cwd, file), '--options')
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new UsageError('the module of --options must export an object with options of KnexSessionStore, or a function that returns one')
  }
  if ('knex' in options)
    throw new UsageError('the module of --options must leave out knex: the command makes its own from --knexfile or --url')
  return options
}

/** Returns the table that the knexfile names in `userParams`, where the packaged migration reads it too. */
function tableOfMigrations(userParams: unknown): SiteOptions {
  const { sessionsTable } = (userParams ?? {}) as { sessionsTable?: SiteOptions }
  const { tableName, schemaName, columns } = sessionsTable ?? {}
  return {
    ...(tableName !== undefined && { tableName }),
    ...(schemaName !== undefined && { schemaName }),
    ...(columns !== undefined && { columns })
  }
}

/** If there is no --options, nothing says whether ids are stored plain or hashed. Then the command sees rows with either kind. */
function idsOfBothKinds({ given }: Context, application: SiteOptions): SiteOptions {
  const prefix = textOption(given, 'prefix') ?? application.prefix ?? ''
  const isSaid = given.options.options !== undefined
  return { upgradePlainIds: !isSaid && (prefix === '' || prefix.endsWith(PREFIX_END)) }
}

/** Returns the table that the user typed. */
export function tableOf(given: Given): SiteOptions {
  return { ...named(given, 'table', 'tableName'), ...named(given, 'schema', 'schemaName') }
}

function named(given: Given, option: string, key: keyof SiteOptions): SiteOptions {
  const value = textOption(given, option)
  return value === undefined ? {} : { [key]: value }
}
