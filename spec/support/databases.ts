import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import knexFactory, { type Knex } from 'knex'
import PgliteClient from 'knex-pglite'
import { describe, inject, it } from 'vitest'
import type { Availability } from './databases.setup'
import { pause, watchDatabase, watchKnex } from './leaks'

export type DatabaseName = 'sqlite' | 'postgres' | 'mysql' | 'cockroach'

/** With PGlite, whose only connection is the database, so that it has no second Knex and no second process. */
export type AnyDatabaseName = DatabaseName | 'pglite'

export interface OpenOptions {
  /** SQLite alone: a file in WAL mode (the default), or a database in memory, which no second Knex and no other process can see. */
  readonly storage?: 'file' | 'memory'
  /** Laid over the Knex configuration of this database's instances. */
  readonly knex?: Knex.Config
  /** How long disposing waits for connections in use before it cuts them and fails. @default 3000 */
  readonly closingMs?: number
}

/** One of the kinds of database that the specs run over. */
export interface Database<Name extends AnyDatabaseName = DatabaseName> {
  readonly name: Name
  readonly available: boolean
  /** Why it is not available, and how to get it. */
  readonly skipReason: string | undefined
  /** Makes an empty database that nobody else uses. Dispose it: that closes its Knex instances and drops it. */
  open(options?: OpenOptions): Promise<OpenDatabase<Name>>
}

/** An empty database of a spec's own, with Knex on it. */
export interface OpenDatabase<Name extends AnyDatabaseName = DatabaseName> extends AsyncDisposable {
  readonly name: Name
  /** The configuration of `knex`: plain data, so child processes can be given it. */
  readonly config: Knex.Config
  /** What the drivers call a connection string; for SQLite the path of the file. */
  readonly url: string
  readonly knex: Knex
  /** A further Knex instance on the same database, closed with it. */
  connect(overrides?: Knex.Config): Knex
  /** Drops the database with all that is in it, cutting its connections, and makes it again, empty. Not for SQLite. */
  recreate(): Promise<void>
}

const CLOSING_MS = 3000
const PGLITE: Database<'pglite'> = { name: 'pglite', available: true, skipReason: undefined, open: openPglite }
const DATABASES: readonly Database[] = [
  { name: 'sqlite', available: true, skipReason: undefined, open: openSqlite },
  served('postgres', 'postgres', 'pg', (admin, name) => admin.raw('DROP DATABASE IF EXISTS ?? WITH (FORCE)', [name])),
  served('mysql', 'mysql', 'mysql2', dropOnMysql),
  served('cockroach', 'cockroach', 'cockroachdb', (admin, name) => admin.raw('DROP DATABASE IF EXISTS ?? CASCADE', [name]))
]

/** SPEC_DATABASES comes from vitest.config.mts: where nothing is chosen, the long specs run on fewer. */
const chosen: readonly string[] | null = inject('chosenDatabases') ?? process.env.SPEC_DATABASES?.split(',') ?? null

/**
 * The databases a spec runs over, also those that are missing here (they are skipped, visibly). CockroachDB is among them only where
 * TEST_COCKROACH_URL is set: nobody can install it from a package.
 */
export const databases: readonly Database[] = chosenOf(DATABASES)

/** The same and PGlite, for specs that need neither a second Knex nor a second process. */
export const databasesAndPglite: readonly Database<AnyDatabaseName>[] = [...databases, ...chosenOf([PGLITE])]

function chosenOf<Name extends AnyDatabaseName>(all: readonly Database<Name>[]): Database<Name>[] {
  return all.filter(({ name, available }) => (chosen === null ? name !== 'cockroach' || available : chosen.includes(name)))
}

/** A kind of database by name, chosen or not, for what is peculiar to it. */
export function databaseNamed<Name extends AnyDatabaseName>(name: Name): Database<Name> {
  const database = [...DATABASES, PGLITE].find((candidate) => candidate.name === name)
  if (database === undefined) throw new Error(`no database is called ${name}`)
  return database as unknown as Database<Name>
}

/**
 * One `describe` for each database. Where one is missing, a skip that says why. Also where none of them is chosen for this run, since Vitest
 * takes a file without a spec for a failure.
 */
export function describeDatabases<Name extends AnyDatabaseName = DatabaseName>(
  title: string,
  define: (database: Database<Name>) => void,
  over: readonly Database<Name>[] = databases as readonly Database<never>[]
): void {
  if (over.length === 0) describe(title, () => it.skip('skipped: its databases are not among those chosen for this run'))
  for (const database of over) {
    describe(`${title}, on ${database.name}`, () => {
      if (database.available) define(database)
      else it.skip(`skipped: ${database.skipReason}`)
    })
  }
}

/** `describeDatabases` for what only some of them can do. */
export function describeDatabase(name: DatabaseName, title: string, define: (database: Database) => void): void {
  describeDatabases(
    title,
    define,
    databases.filter((database) => database.name === name)
  )
}

async function openSqlite(options: OpenOptions = {}): Promise<OpenDatabase> {
  if (options.storage === 'memory') {
    return new TestDatabase('sqlite', sqliteConfig(':memory:'), ':memory:', options, {
      drop: async () => undefined,
      recreate: refuseToRecreate
    })
  }
  const directory = await mkdtemp(join(tmpdir(), 'knex-session-store-sqlite-'))
  const file = join(directory, 'sessions.sqlite')
  const database = new TestDatabase('sqlite', sqliteConfig(file), file, options, {
    drop: () => rm(directory, { recursive: true, force: true }),
    recreate: refuseToRecreate
  })
  // The mode is kept in the file, so it holds for every later connection.
  await database.knex.raw('PRAGMA journal_mode = WAL')
  return database
}

function sqliteConfig(filename: string): Knex.Config {
  return { client: 'better-sqlite3', connection: { filename }, useNullAsDefault: true }
}

/** PostgreSQL in this process, in memory. The driver takes no settings of the pool. */
async function openPglite(options: OpenOptions = {}): Promise<OpenDatabase<'pglite'>> {
  const config: Knex.Config = { client: PgliteClient, connection: {} }
  const database = new TestDatabase('pglite', config, ':memory:', options, { drop: async () => undefined, recreate: refuseToRecreate })
  // It takes seconds to start, which are not to be those of the first call of a store.
  await database.knex.raw('SELECT 1')
  return database
}

async function refuseToRecreate(): Promise<void> {
  throw new Error('recreate() is for database servers: a database in this process cannot be dropped')
}

function served(
  name: 'postgres' | 'mysql' | 'cockroach',
  key: 'postgres' | 'mysql' | 'cockroach',
  client: string,
  drop: (admin: Knex, database: string) => Promise<unknown>
): Database {
  const availability: Availability = inject(key)
  if ('missing' in availability) {
    const { missing } = availability
    return {
      name,
      available: false,
      skipReason: missing,
      open: () => Promise.reject(new Error(`${name}: ${missing}`))
    }
  }
  const asAdmin = async (work: (admin: Knex) => Promise<unknown>) => {
    const admin = knexFactory({ client, connection: availability.url, pool: { min: 0, max: 1 } })
    try {
      await work(admin)
    } finally {
      await admin.destroy()
    }
  }
  return {
    name,
    available: true,
    skipReason: undefined,
    async open(options = {}) {
      const database = `kss_${randomBytes(8).toString('hex')}`
      const create = (admin: Knex) => admin.raw('CREATE DATABASE ??', [database])
      await asAdmin(create)
      const url = withDatabase(availability.url, database)
      const config: Knex.Config = { client, connection: url, pool: { min: 0, max: 10 } }
      return new TestDatabase(name, config, url, options, {
        drop: () => asAdmin((admin) => drop(admin, database)),
        recreate: () =>
          asAdmin(async (admin) => {
            await drop(admin, database)
            await create(admin)
          })
      })
    }
  }
}

/** Without WITH (FORCE), and dropping waits for every open transaction. */
async function dropOnMysql(admin: Knex, database: string): Promise<void> {
  const connections = await admin('information_schema.processlist').where('db', database).select('id')
  // One that has ended meanwhile is an unknown thread id.
  for (const { id } of connections) await admin.raw('KILL ?', [id]).catch(() => undefined)
  await admin.raw('DROP DATABASE IF EXISTS ??', [database])
}

function withDatabase(serverUrl: string, database: string): string {
  const url = new URL(serverUrl)
  url.pathname = `/${database}`
  return url.href
}

class TestDatabase<Name extends AnyDatabaseName> implements OpenDatabase<Name> {
  readonly config: Knex.Config
  readonly knex: Knex
  readonly recreate: () => Promise<void>
  readonly #drop: () => Promise<void>
  readonly #instances: Knex[] = []
  readonly #forget: () => void
  readonly #closingMs: number

  constructor(
    readonly name: Name,
    config: Knex.Config,
    readonly url: string,
    options: OpenOptions,
    { drop, recreate }: { drop: () => Promise<void>; recreate: () => Promise<void> }
  ) {
    this.config = { ...config, ...options.knex }
    this.#closingMs = options.closingMs ?? CLOSING_MS
    this.recreate = recreate
    this.#drop = drop
    this.#forget = watchDatabase(`${name} ${url}`, this)
    this.knex = this.connect()
  }

  connect(overrides?: Knex.Config): Knex {
    const knex = knexFactory({ ...this.config, ...overrides })
    watchKnex(knex)
    this.#instances.push(knex)
    return knex
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#forget()
    const closed = await Promise.all(this.#instances.map((knex) => destroyInTime(knex, this.#closingMs)))
    await this.#drop()
    if (closed.includes(false)) throw new Error(`a connection to ${this.name} is still in use, so its Knex instance cannot be closed`)
  }
}

/** False if it cannot be done: Knex waits for ever for a connection that nobody gives back. */
function destroyInTime(knex: Knex, closingMs: number): Promise<boolean> {
  const destroyed = knex.destroy().then(() => true)
  return Promise.race([destroyed, pause(closingMs).then(() => false)])
}
