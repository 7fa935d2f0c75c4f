import { existsSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { Knex } from 'knex'
import { CLIENT_EXAMPLE, connectionTarget, driverPackageOf, isEmbedded, targetOfUrl } from '../dialects/connection-url'
import { dialectOfClient, isKnex } from '../dialects/drivers'
import { describeValue, Hidden, isOurs } from '../errors'
import { type Context, textOption } from './command'
import { SetupError, UsageError } from './command-errors'
import { findPackage } from './find-package'
import { givenBy } from './load-module'

/** How to connect to the database. */
export interface Configuration {
  readonly config: Knex.Config
  /** The folders in which the command looks for Knex and the driver, in this order. */
  readonly folders: readonly string[]
}

const KNEXFILES = ['knexfile.js', 'knexfile.cjs', 'knexfile.mjs', 'knexfile.ts']

/**
 * Reads the Knex configuration that the user named. For a knexfile, it changes the working directory to the folder of the knexfile. Knex
 * does the same, so relative paths in a knexfile begin there.
 */
export async function readConfiguration({ system, given, screen }: Context): Promise<Configuration> {
  const url = textOption(given, 'url')
  const knexfile = textOption(given, 'knexfile')
  const environment = textOption(given, 'env')
  screen.learnSecrets(url)
  if (url !== undefined) {
    if (knexfile !== undefined || environment !== undefined) {
      throw new UsageError('give either --url, or --knexfile and perhaps --env')
    }
    return checked(ofUrl(url, [system.cwd()]), screen)
  }
  const cwd = system.cwd()
  const file = knexfile === undefined ? knexfileIn(cwd) : resolve(cwd, knexfile)
  system.chdir(dirname(file))
  const chosen = ofEnvironment(await givenBy(file, '--knexfile'), file, environment, system.environment)
  // The application made this Knex where it runs, so relative paths in its configuration begin in the first working directory.
  if (isKnex(chosen)) system.chdir(cwd)
  return checked({ config: isKnex(chosen) ? chosen.client.config : chosen, folders: [cwd, dirname(file)] }, screen)
}

function knexfileIn(folder: string): string {
  const file = KNEXFILES.map((name) => join(folder, name)).find(existsSync)
  if (file === undefined) throw new UsageError('which database? There is no knexfile in this folder: give --knexfile <file> or --url <url>')
  return file
}

function ofUrl(url: string, folders: readonly string[]): Configuration {
  const { clients, connection } = targetOfUrl(url)
  const client = clients.find((name) => findPackage(driverPackageOf(name), folders) !== undefined)
  if (client === undefined) {
    const names = clients.map(driverPackageOf)
    throw new SetupError(`no driver for this URL is installed here (${names.join(' or ')}): npm install ${names[0]}`)
  }
  return { config: { client, connection, useNullAsDefault: true }, folders }
}

/** Returns what the knexfile has for the environment: a configuration, or a Knex instance. */
function ofEnvironment(exported: unknown, file: string, given: string | undefined, nodeEnv: string | undefined): Knex.Config | Knex {
  if (isUsable(exported) && !isObject(exported)) return exported
  if (!isObject(exported)) {
    throw new UsageError(
      `${file} (--knexfile) exports ${describeValue(new Hidden(exported))}. It has to export what Knex takes: { ${CLIENT_EXAMPLE}, connection: … }, such an object for each environment, a function that returns it, or the Knex instance of the application`
    )
  }
  const name = given ?? nodeEnv ?? 'development'
  const chosen = Object.hasOwn(exported, name) ? exported[name] : undefined
  if (isUsable(chosen)) return chosen
  // A knexfile without environments is one configuration for all environments.
  const names = Object.keys(exported).filter((key) => isUsable(exported[key]))
  if (isUsable(exported) && (given === undefined || names.length === 0)) return exported
  const environment = `${file} (--knexfile), environment ${JSON.stringify(name)}`
  if (typeof chosen === 'function')
    throw new UsageError(`${environment}: it is a function. Export a function that returns all environments`)
  if (isObject(chosen)) throw new UsageError(`${environment}: it has no client. ${ADD_CLIENT}`)
  if ('connection' in exported) throw new UsageError(`${file} (--knexfile) has no client. ${ADD_CLIENT}`)
  const has = names.length === 0 ? 'it has no configuration with a client at all' : `it has: ${names.join(', ')}`
  throw new UsageError(`${file} has no environment ${JSON.stringify(name)}; ${has}. Give --env <name>`)
}

const ADD_CLIENT = `Add the name of Knex's client, for example ${CLIENT_EXAMPLE}`

/**
 * Refuses a configuration with which Knex would fail. Also refuses a database file that does not exist: the driver would create it, and the
 * command would report on an empty database.
 */
async function checked({ config, folders }: Configuration, screen: Context['screen']): Promise<Configuration> {
  const { connection } = config
  screen.learnSecrets(connection)
  const client = config.client ?? (config as { dialect?: unknown }).dialect
  if (typeof client !== 'string') return { config, folders }
  // Called because it throws if the database is not supported.
  dialectOfClient(client, { prepare: false, durability: 'all' })
  if (findPackage(driverPackageOf(client), folders) === undefined) {
    throw new SetupError(`the driver of the Knex client ${client} is not installed here: npm install ${driverPackageOf(client)}`)
  }
  if (typeof connection !== 'function') {
    refuseMissing(client, connection)
    return { config, folders }
  }
  const provider = async () => {
    const given = await (connection as () => unknown)()
    screen.learnSecrets(given)
    refuseMissing(client, given)
    return given as Knex.StaticConnectionConfig
  }
  if (isEmbedded(client)) {
    await provider().catch((error) => {
      throw isOurs(error) ? error : new SetupError('the function that the configuration of Knex has as connection failed')
    })
  }
  return { config: { ...config, connection: provider }, folders }
}

function refuseMissing(client: string, connection: unknown): void {
  const target = connectionTarget(client, connection)
  if ('refusal' in target) {
    if (target.refusal !== undefined) throw new SetupError(`the connection cannot be used: ${target.refusal}`)
    return
  }
  const file = resolve(target.file)
  const found = statSync(file, { throwIfNoEntry: false })
  if (found === undefined) throw new SetupError(`there is no file ${file} with a database in it`)
  if (!found.isFile()) throw new SetupError(`${file} is not a file with a database in it`)
}

/** True for a configuration that Knex accepts, and for a Knex instance. */
function isUsable(value: unknown): value is Knex.Config | Knex {
  if (isKnex(value)) return true
  if (!isObject(value)) return false
  return [value.client, value.dialect].some((name) => typeof name === 'string' || typeof name === 'function')
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
