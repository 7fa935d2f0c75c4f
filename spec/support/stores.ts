import type { SessionData } from 'express-session'
import createKnex, { type Knex } from 'knex'
import { afterAll, beforeAll } from 'vitest'
import { KnexSessionStore, type KnexSessionStoreOptions, UnsupportedDatabaseError } from '../../lib'
import { type Database, type DatabaseName, databases, describeDatabases, type OpenDatabase, type OpenOptions } from './databases'

const CLIENTS: Readonly<Record<DatabaseName, string>> = {
  sqlite: 'better-sqlite3',
  postgres: 'pg',
  mysql: 'mysql2',
  cockroach: 'cockroachdb'
}

/** The databases of the specs that the store has a dialect for. */
export const storeDatabases: readonly Database[] = databases.filter(({ name }) => {
  try {
    return new KnexSessionStore({ knex: createKnex({ client: CLIENTS[name] }) }) !== undefined
  } catch (error) {
    if (error instanceof UnsupportedDatabaseError) return false
    throw error
  }
})

/** One `describe` for each database that the store has a dialect for. */
export function describeStores(title: string, define: (database: Database) => void): void {
  describeDatabases(title, define, storeDatabases)
}

/** A moment a spec moves by itself, in place of sleeping. */
export class Clock {
  constructor(public now = Date.now()) {}

  readonly read = (): number => this.now

  advance(ms: number): void {
    this.now += ms
  }
}

/** Every statement that a Knex instance sent, but for what Knex and its drivers send by themselves. */
export class StatementLog {
  readonly statements: string[] = []

  constructor(knex: Knex) {
    knex.on('query', ({ sql }: { sql: string }) => this.statements.push(sql))
  }

  /** Forgets what was sent so far. */
  clear(): void {
    this.statements.length = 0
  }

  get count(): number {
    return this.statements.length
  }
}

/** A store for a spec. Dispose it: that closes the store first, and then its database, if that is its own. */
export interface OpenStore extends AsyncDisposable {
  readonly store: KnexSessionStore
  readonly database: OpenDatabase
  readonly knex: Knex
  readonly tableName: string
  /** A further store on the same table and Knex, closed with it. */
  another(options?: StoreOptions): KnexSessionStore
}

export type StoreOptions = Partial<KnexSessionStoreOptions>

let tables = 0

/**
 * Opens a store on a database of its own, or on a table of its own in one that several specs share, which takes less time. Nothing is pruned
 * but by `prune()`, unless the options say so.
 */
export async function openStore(
  on: Database | OpenDatabase,
  options: StoreOptions = {},
  openOptions: OpenOptions = {}
): Promise<OpenStore> {
  const isShared = 'knex' in on
  const database = isShared ? on : await on.open(openOptions)
  const { tableName = isShared ? `sessions_${++tables}` : 'sessions', knex = database.knex } = options
  const stores: KnexSessionStore[] = []
  const another = (more: StoreOptions = {}) => {
    const store = new KnexSessionStore({ knex, tableName, pruneIntervalMs: false, ...more })
    stores.push(store)
    return store
  }
  return {
    store: another(options),
    database,
    knex,
    tableName,
    another,
    async [Symbol.asyncDispose]() {
      await Promise.all(stores.map((store) => store.close()))
      if (!isShared) await database[Symbol.asyncDispose]()
    }
  }
}

/** One database for all specs of a `describe`. */
export function shareDatabase(kind: Database, options: OpenOptions = {}): () => OpenDatabase {
  let database: OpenDatabase | undefined
  beforeAll(async () => {
    database = await kind.open(options)
  })
  afterAll(() => database?.[Symbol.asyncDispose]())
  return () => {
    if (database === undefined) throw new Error('the database is open while specs run, and not while they are declared')
    return database
  }
}

/** A session as an application writes it by hand. Lives a day if not said otherwise. */
export function handMade(data: object = {}, cookie: object = { originalMaxAge: 86_400_000, maxAge: 86_400_000 }): SessionData {
  return { cookie, ...data } as unknown as SessionData
}
