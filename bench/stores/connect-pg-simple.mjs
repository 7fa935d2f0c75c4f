import connectPgSimple from 'connect-pg-simple'
import session from 'express-session'
import { makeSession } from '../session.mjs'
import { pgPool } from './connections.mjs'

export const stores = [
  {
    name: 'connect-pg-simple',
    server: 'pg',
    fills: true,
    async open({ url }) {
      const PgStore = connectPgSimple(session)
      const pool = pgPool(url)
      await pool.query('DROP TABLE IF EXISTS bench_connect_pg_simple')
      const store = new PgStore({ pool, tableName: 'bench_connect_pg_simple', createTableIfMissing: true, pruneSessionInterval: false })
      return {
        store,
        async fill(rows, bytes) {
          // The first operation makes the table.
          await new Promise((resolve) => store.get('none', resolve))
          await pool.query(
            `INSERT INTO bench_connect_pg_simple (sid, sess, expire)
             SELECT md5('session-' || i), $1::json, now() + interval '1 day' FROM generate_series(0, $2::int - 1) i`,
            [JSON.stringify(makeSession(bytes)), rows]
          )
        },
        async close() {
          await pool.query('DROP TABLE IF EXISTS bench_connect_pg_simple')
          await pool.end()
        }
      }
    }
  }
]
