import sqliteStore from 'better-sqlite3-session-store'
import session from 'express-session'
import { lifetimeMs, makeSession, sessionId } from '../session.mjs'
import { sqliteDatabase, sqliteFile } from './connections.mjs'

export const stores = [
  {
    name: 'better-sqlite3-session-store',
    server: 'sqlite',
    fills: true,
    async open({ directory }) {
      const client = sqliteDatabase(sqliteFile(directory, 'better-sqlite3-session-store'))
      const SqliteStore = sqliteStore(session)
      return {
        // Its prune timer cannot be switched off (`clear: false` is ignored), but a day is longer than a bench.
        store: new SqliteStore({ client, expired: { clear: true, intervalMs: 86_400_000 } }),
        async fill(rows, bytes) {
          const text = JSON.stringify(makeSession(bytes))
          const expire = new Date(Date.now() + lifetimeMs).toISOString()
          const insert = client.prepare('INSERT INTO sessions (sid, sess, expire) VALUES (?, ?, ?)')
          client.transaction(() => {
            for (let index = 0; index < rows; index++) insert.run(sessionId(index), text, expire)
          })()
        },
        async close() {
          client.close()
        }
      }
    }
  }
]
