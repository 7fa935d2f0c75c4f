import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import type { Store } from 'express-session'
import type { Knex } from 'knex'

/** A store in a process of the site. Plain data, for it is sent to the process. */
export interface Contender {
  readonly store: StoreName
  readonly database: DatabaseName
  readonly url: string
  /** The client of Knex, where it is not the usual one of the database. */
  readonly client?: string | undefined
  /** How much text each session has besides. */
  readonly ballastBytes?: number | undefined
  /** Laid over the store's own options. */
  readonly options: Record<string, unknown>
  /** A folder whose node_modules has the package that is taken, where it is not this repository's own build. */
  readonly packageFolder?: string | undefined
}

export type DatabaseName = 'postgres' | 'mysql' | 'redis'
export type StoreName = 'knex-session-store' | 'connect-session-knex' | 'connect-pg-simple' | 'connect-redis' | 'broken'

/** A store, and what the runner has to do to it besides. */
export interface OpenedStore {
  readonly store: Store
  /** How often the server gave each error, also where the store tried again; empty where nobody can listen. */
  readonly serverErrors: ReadonlyMap<string, number>
  /** Takes connections of the pool, as an application does; calling the result gives one back. Undefined where there is no pool. */
  readonly holdConnection: (() => Promise<() => void>) | undefined
  /** Ends the store and its pool. */
  close(): Promise<void>
}

export const POOL_MAX = 10

const openers: Record<StoreName, (contender: Contender) => Promise<OpenedStore>> = {
  'knex-session-store': async (contender: Contender) => {
    const knex = await openKnex(contender)
    const { KnexSessionStore } = await ours(contender.packageFolder)
    const store = new KnexSessionStore({ knex, touchAfterMs: 0, ...contender.options })
    return { store, ...onKnex(knex, contender.database, () => store.close()) }
  },

  'connect-session-knex': async (contender: Contender) => {
    const knex = await openKnex(contender)
    const { ConnectSessionKnexStore } = await import('connect-session-knex')
    const store = new ConnectSessionKnexStore({ knex, cleanupInterval: 0 })
    return { store: store as unknown as Store, ...onKnex(knex, contender.database, async () => undefined) }
  },

  'connect-pg-simple': async ({ url }: Contender) => {
    const [{ default: connectPgSimple }, { default: session }, { default: pg }] = await Promise.all([
      import('connect-pg-simple'),
      import('express-session'),
      import('pg')
    ])
    const pool = new pg.Pool({ connectionString: url, max: POOL_MAX })
    // Without a listener, an idle connection that breaks ends the process: its README shows this, too.
    pool.on('error', () => undefined)
    const PgStore = connectPgSimple(session)
    const store = new PgStore({ pool, createTableIfMissing: true, errorLog: () => undefined, pruneSessionInterval: false })
    return {
      store,
      serverErrors: new Map(),
      holdConnection: async () => {
        const client = await pool.connect()
        return () => client.release()
      },
      close: () => pool.end()
    }
  },

  'connect-redis': async ({ url }: Contender) => {
    const [{ RedisStore }, { createClient }] = await Promise.all([import('connect-redis'), import('redis')])
    const client = createClient({ url })
    client.on('error', () => undefined)
    await client.connect()
    return {
      store: new RedisStore({ client }) as Store,
      serverErrors: new Map(),
      holdConnection: undefined,
      close: async () => client.destroy()
    }
  },

  /** Broken on purpose, for the self-test of the runner. */
  broken: async (contender) => {
    const { faults, ...options } = contender.options as { faults: string[] }
    const opened = await openers['knex-session-store']({ ...contender, options })
    const { breakStore } = await import('./broken-store.mts')
    breakStore(opened.store, faults)
    return faults.includes('leaves connections') ? { ...opened, close: async () => undefined } : opened
  }
}

export const STORES = Object.keys(openers) as StoreName[]

export function openStore(contender: Contender): Promise<OpenedStore> {
  return openers[contender.store](contender)
}

async function ours(packageFolder: string | undefined): Promise<typeof import('knex-session-store')> {
  if (packageFolder === undefined) return import('knex-session-store')
  return createRequire(pathToFileURL(`${packageFolder}/`))('knex-session-store')
}

async function openKnex({ database, url, client = database === 'mysql' ? 'mysql2' : 'pg' }: Contender): Promise<Knex> {
  const { default: knexFactory } = await import('knex')
  return knexFactory({ client, connection: url, pool: { min: 0, max: POOL_MAX } })
}

function onKnex(
  knex: Knex,
  database: DatabaseName,
  closeStore: () => Promise<void>
): Pick<OpenedStore, 'serverErrors' | 'holdConnection' | 'close'> {
  const serverErrors = new Map<string, number>()
  // On PostgreSQL a listener would take the store's direct way to the driver away.
  if (database === 'mysql') {
    knex.on('query-error', ({ errno, code }: { errno?: number; code?: string }) => {
      const name = String(errno ?? code ?? 'no code')
      serverErrors.set(name, (serverErrors.get(name) ?? 0) + 1)
    })
  }
  return {
    serverErrors,
    holdConnection: async () => {
      const connection = await knex.client.acquireConnection()
      return () => void knex.client.releaseConnection(connection)
    },
    close: async () => {
      await closeStore()
      await knex.destroy()
    }
  }
}
