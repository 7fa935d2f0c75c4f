import { makeKnex, sqliteFile } from './connections.mjs'
import { createTable, RawStore, statements } from './raw-store.mjs'

const firstText = {
  pg: (result) => result.rows?.[0]?.data,
  mysql: (result) => result[0]?.[0]?.data,
  sqlite: (result) => result[0]?.data
}

// The same statements through `knex.raw`: what the road through Knex costs.
export const stores = ['pg', 'mysql', 'sqlite'].map((server) => ({
  name: `knex-raw-${server}`,
  server,
  async open({ url, directory }) {
    const knex = makeKnex(server, url, server === 'sqlite' ? sqliteFile(directory, 'knex-raw') : undefined)
    const table = 'bench_knex_raw'
    await knex.raw('DROP TABLE IF EXISTS ??', [table])
    await knex.raw(createTable[server].replace('bench_raw', table))
    const sql = statements(server, table)
    const queries = {
      select: async (id) => firstText[server](await knex.raw(sql.select, [id, Date.now()])),
      upsert: (id, text, expiresAt) => knex.raw(sql.upsert, [id, text, expiresAt]),
      touch: (id, expiresAt) => knex.raw(sql.touch, [expiresAt, id]),
      remove: (id) => knex.raw(sql.remove, [id])
    }
    return {
      store: new RawStore(queries),
      async close() {
        await knex.raw('DROP TABLE ??', [table])
        await knex.destroy()
      }
    }
  }
}))
