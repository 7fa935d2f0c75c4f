import { RedisStore } from 'connect-redis'
import { createClient } from 'redis'
import { lifetimeMs, makeSession, sessionId } from '../session.mjs'

export const stores = [
  {
    name: 'connect-redis',
    server: 'redis',
    fills: true,
    async open({ url }) {
      // One connection, as node-redis means it: it pipelines what is asked of it in one tick.
      const client = createClient({ url })
      // A lost connection is told by the command that it failed; without a listener it would be told twice.
      client.on('error', () => {})
      await client.connect()
      const prefix = 'bench-sess:'
      const empty = async () => {
        for await (const keys of client.scanIterator({ MATCH: `${prefix}*`, COUNT: 1000 })) if (keys.length > 0) await client.unlink(keys)
      }
      await empty()
      return {
        store: new RedisStore({ client, prefix }),
        async fill(rows, bytes) {
          const text = JSON.stringify(makeSession(bytes))
          const expiration = { type: 'EX', value: lifetimeMs / 1000 }
          for (let index = 0; index < rows; ) {
            const sets = []
            for (; sets.length < 1000 && index < rows; index++) sets.push(client.set(prefix + sessionId(index), text, { expiration }))
            await Promise.all(sets)
          }
        },
        async close() {
          await empty()
          await client.close()
        }
      }
    }
  }
]
