import type { Store } from 'express-session'

/** A store in a race: whose it is, on which database, and where that is. Plain data, for it is sent to other processes. */
export interface Contender {
  readonly store:
    | 'knex-session-store'
    | 'connect-session-knex'
    | 'connect-pg-simple'
    | 'connect-redis'
    | 'better-sqlite3-session-store'
    | 'MemoryStore'
  readonly database: 'postgres' | 'mysql' | 'sqlite' | 'redis' | 'memory'
  /** A URL, or for SQLite a path. */
  readonly url: string
  /** The client of Knex, where it is not the usual one of the database. */
  readonly client?: string | undefined
  /** Laid over the store's own options. */
  readonly options?: Record<string, unknown>
}

/** The store, as its README says, on a pool of ten. */
export function openStore(contender: Contender): Promise<Store> {
  return openers[contender.store](contender)
}

type Opener = (contender: Contender) => Promise<Store>

const openers: Record<Contender['store'], Opener> = {
  'knex-session-store': async ({ options, ...contender }) => {
    const { KnexSessionStore } = await import('knex-session-store')
    return new KnexSessionStore({ knex: await openKnex(contender), ...options })
  },

  'connect-session-knex': async ({ options, ...contender }) => {
    const { ConnectSessionKnexStore } = await import('connect-session-knex')
    return new ConnectSessionKnexStore({ knex: await openKnex(contender), ...options })
  },

  'connect-pg-simple': async ({ url, options }) => {
    const [{ default: connectPgSimple }, { default: session }, { default: pg }] = await Promise.all([
      import('connect-pg-simple'),
      import('express-session'),
      import('pg')
    ])
    const pool = new pg.Pool({ connectionString: url, max: 10 })
    // Without a listener, an idle connection that breaks ends the process: its README shows this, too.
    pool.on('error', () => undefined)
    const PgStore = connectPgSimple(session)
    return new PgStore({ pool, createTableIfMissing: true, errorLog: () => undefined, ...options })
  },

  'connect-redis': async ({ url, options }) => {
    const [{ RedisStore }, { createClient }] = await Promise.all([import('connect-redis'), import('redis')])
    const client = createClient({ url })
    client.on('error', () => undefined)
    await client.connect()
    return new RedisStore({ client, ...options })
  },

  'better-sqlite3-session-store': async ({ url, options }) => {
    const [{ default: sqliteStore }, { default: session }, { default: Database }] = await Promise.all([
      import('better-sqlite3-session-store'),
      import('express-session'),
      import('better-sqlite3')
    ])
    const SqliteStore = sqliteStore(session)
    return new SqliteStore({ client: new Database(url), ...options })
  },

  MemoryStore: async () => {
    const { default: session } = await import('express-session')
    return new session.MemoryStore()
  }
}

async function openKnex({ database, url, client = database === 'mysql' ? 'mysql2' : 'pg' }: Contender) {
  const { default: knexFactory } = await import('knex')
  if (database === 'sqlite') return knexFactory({ client: 'better-sqlite3', connection: { filename: url }, useNullAsDefault: true })
  return knexFactory({ client, connection: url, pool: { min: 0, max: 10 } })
}
