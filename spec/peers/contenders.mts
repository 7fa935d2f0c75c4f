import { type Backend, openMemory, openMysql, openPostgres, openRedis, openSqlite } from '../races/backends.mjs'
import type { Contender } from '../races/stores.mjs'

/** Servers that run already; their users must be allowed to create databases. */
export const servers = {
  postgres: process.env.TEST_PG_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres',
  mysql: process.env.TEST_MYSQL_URL ?? 'mysql://root@127.0.0.1:3306',
  redis: process.env.TEST_REDIS_URL ?? 'redis://127.0.0.1:6379'
}

const openers: Record<Contender['database'], () => Promise<Backend>> = {
  postgres: () => openPostgres(servers.postgres),
  mysql: () => openMysql(servers.mysql),
  redis: () => openRedis(servers.redis),
  sqlite: openSqlite,
  memory: openMemory
}

/** Whose store, on which database. */
export type Entry = Pick<Contender, 'store' | 'database'>

export const entries: readonly Entry[] = [
  { store: 'knex-session-store', database: 'postgres' },
  { store: 'knex-session-store', database: 'mysql' },
  { store: 'knex-session-store', database: 'sqlite' },
  { store: 'connect-session-knex', database: 'postgres' },
  { store: 'connect-session-knex', database: 'mysql' },
  { store: 'connect-session-knex', database: 'sqlite' },
  { store: 'connect-pg-simple', database: 'postgres' },
  { store: 'better-sqlite3-session-store', database: 'sqlite' },
  { store: 'connect-redis', database: 'redis' },
  { store: 'MemoryStore', database: 'memory' }
]

/** An entry on an empty database of its own. */
export async function onEmptyDatabase<Result>(
  entry: Entry,
  work: (contender: Contender, backend: Backend) => Promise<Result>
): Promise<Result> {
  await using backend = await openers[entry.database]()
  return await work({ ...entry, url: backend.url }, backend)
}
