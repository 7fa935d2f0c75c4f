import { type Database, databases, describeDatabases } from '../support/databases'
import { type Backend, openMysql, openPostgres, openSqlite } from './backends.mjs'
import { Site } from './sites.mjs'
import type { Contender } from './stores.mjs'

/** RACE_ROUNDS=500 for a thorough run. */
export const rounds = Number(process.env.RACE_ROUNDS ?? 20)

/** Where races are run: an empty database, and processes that serve the site on it. */
export interface Stage extends AsyncDisposable {
  readonly backend: Backend
  readonly contender: Contender
  readonly sites: readonly [Site, Site]
}

const openers: Record<string, (url: string) => Promise<Backend>> = { sqlite: openSqlite, postgres: openPostgres, mysql: openMysql }

/** The databases that races are run over. CockroachDB has no place here: nothing of it was ever seen to run. */
export function describeRaces(title: string, define: (database: Database) => void): void {
  describeDatabases(
    title,
    define,
    databases.filter(({ name }) => name in openers)
  )
}

/** An empty database of the kind, on the line that a race may interrupt. */
export async function openBackend(kind: Database): Promise<Backend & { readonly contender: Contender }> {
  const database = await kind.open()
  const backend = await (openers[kind.name] as (url: string) => Promise<Backend>)(database.url)
  return {
    ...backend,
    contender: { store: 'knex-session-store', database: backend.name, url: backend.url },
    async [Symbol.asyncDispose]() {
      await backend[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
    }
  }
}

/** Two processes that serve the site on one database. */
export async function openStage(kind: Database): Promise<Stage> {
  const backend = await openBackend(kind)
  const { contender } = backend
  const sites: [Site, Site] = [await Site.start(contender), await Site.start(contender)]
  return {
    backend,
    contender,
    sites,
    async [Symbol.asyncDispose]() {
      await Promise.all(sites.map((site) => site[Symbol.asyncDispose]()))
      await backend[Symbol.asyncDispose]()
    }
  }
}
