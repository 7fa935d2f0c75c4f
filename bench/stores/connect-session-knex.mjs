import { ConnectSessionKnexStore } from 'connect-session-knex'
import { lifetimeMs, makeSession, sessionId } from '../session.mjs'
import { makeKnex, sqliteDatabase, sqliteFile } from './connections.mjs'

const tableName = 'bench_connect_session_knex'

const fills = {
  pg: (knex, rows, text) =>
    knex.raw(
      `INSERT INTO ?? (sid, sess, expired)
       SELECT md5('session-' || i), ?::json, now() + interval '1 day' FROM generate_series(0, ?::int - 1) i`,
      [tableName, text, rows]
    ),
  mysql: (knex, rows, text) =>
    knex.raw(
      `INSERT INTO ?? (sid, sess, expired)
       SELECT md5(concat('session-', seq)), ?, utc_timestamp() + INTERVAL 1 DAY FROM seq_0_to_${Number(rows) - 1}`,
      [tableName, text]
    )
}

export const stores = ['pg', 'mysql', 'sqlite'].map((server) => ({
  name: `connect-session-knex-${server}`,
  server,
  fills: true,
  async open({ url, directory }) {
    const file = server === 'sqlite' ? sqliteFile(directory, 'connect-session-knex') : undefined
    const knex = makeKnex(server, url, file)
    await knex.schema.dropTableIfExists(tableName)
    const store = new ConnectSessionKnexStore({ knex, tableName, createTable: true, cleanupInterval: 0 })
    await store.ready
    return {
      store,
      async fill(rows, bytes) {
        const text = JSON.stringify(makeSession(bytes))
        if (server === 'sqlite') fillFile(file, rows, text)
        else await fills[server](knex, rows, text)
      },
      async close() {
        await knex.schema.dropTableIfExists(tableName)
        await knex.destroy()
      }
    }
  }
}))

function fillFile(file, rows, text) {
  const database = sqliteDatabase(file)
  const expired = new Date(Date.now() + lifetimeMs).toISOString()
  const insert = database.prepare(`INSERT INTO ${tableName} (sid, sess, expired) VALUES (?, ?, ?)`)
  database.transaction(() => {
    for (let index = 0; index < rows; index++) insert.run(sessionId(index), text, expired)
  })()
  database.close()
}
