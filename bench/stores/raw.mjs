import { mysqlPool, pgPool, sqliteDatabase, sqliteFile } from './connections.mjs'
import { createTable, RawStore, statements } from './raw-store.mjs'

// The drivers without anything between: the floor of latency for a store that sends one statement an operation.
export const stores = [
  { name: 'raw-pg', server: 'pg', open: openPostgres },
  { name: 'raw-mysql', server: 'mysql', open: openMysql },
  { name: 'raw-sqlite', server: 'sqlite', open: openSqlite }
]

async function openPostgres({ url }) {
  const pool = pgPool(url)
  await pool.query('DROP TABLE IF EXISTS bench_raw')
  await pool.query(createTable.pg)
  const sql = Object.fromEntries(Object.entries(statements('pg', 'bench_raw')).map(([name, text]) => [name, numbered(text)]))
  return {
    store: new RawStore(queries(async (name, values) => (await pool.query(sql[name], values)).rows[0]?.data)),
    async close() {
      await pool.query('DROP TABLE bench_raw')
      await pool.end()
    }
  }
}

function numbered(text) {
  let count = 0
  return text.replaceAll('?', () => `$${++count}`)
}

async function openMysql({ url }) {
  const pool = mysqlPool(url).promise()
  await pool.query('DROP TABLE IF EXISTS bench_raw')
  await pool.query(createTable.mysql)
  const sql = statements('mysql', 'bench_raw')
  return {
    store: new RawStore(queries(async (name, values) => (await pool.execute(sql[name], values))[0][0]?.data)),
    async close() {
      await pool.query('DROP TABLE bench_raw')
      await pool.end()
    }
  }
}

async function openSqlite({ directory }) {
  const database = sqliteDatabase(sqliteFile(directory, 'raw'))
  database.exec(createTable.sqlite)
  const prepared = Object.fromEntries(Object.entries(statements('sqlite', 'bench_raw')).map(([name, sql]) => [name, database.prepare(sql)]))
  const run = async (name, values) => (name === 'select' ? prepared.select.get(values)?.data : void prepared[name].run(values))
  return { store: new RawStore(queries(run)), close: async () => database.close() }
}

function queries(run) {
  return {
    select: (id) => run('select', [id, Date.now()]),
    upsert: (id, text, expiresAt) => run('upsert', [id, text, expiresAt]),
    touch: (id, expiresAt) => run('touch', [expiresAt, id]),
    remove: (id) => run('remove', [id])
  }
}
