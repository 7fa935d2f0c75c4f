import * as betterSqlite3SessionStore from './better-sqlite3-session-store.mjs'
import * as connectPgSimple from './connect-pg-simple.mjs'
import * as connectRedis from './connect-redis.mjs'
import * as connectSessionKnex from './connect-session-knex.mjs'
import * as knexRaw from './knex-raw.mjs'
import * as memory from './memory.mjs'
import * as ours from './ours.mjs'
import * as raw from './raw.mjs'

/**
 * Every store of the bench, each with the same small contract:
 *
 *     { name, server: 'pg' | 'mysql' | 'redis' | 'sqlite' | 'none', open(context), fills?, missing?() }
 *
 * `open` gets `{ url, directory, options }` (the server's address, a folder for files, options for our store alone), starts from an empty
 * table and answers `{ store, close(), fill?(rows, bytes) }`. With `fills`, `fill` makes a million rows faster than the store's own `set`.
 * `missing` answers why the store cannot run here, or nothing.
 */
export const allStores = [ours, connectSessionKnex, connectPgSimple, betterSqlite3SessionStore, connectRedis, memory, raw, knexRaw].flatMap(
  (module) => module.stores
)

export function findStore(name) {
  return allStores.find((store) => store.name === name)
}
