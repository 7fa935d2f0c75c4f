import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startMariadb } from './mariadb.mjs'
import { startPostgres } from './postgres.mjs'
import { makeFolder } from './process.mjs'
import { startRedis } from './redis.mjs'

const starters = { pg: startPostgres, mysql: startMariadb, redis: startRedis }

/**
 * Starts the servers of `kinds`, in a temporary folder, on free ports of loopback. A server that cannot be had is
 * `{ missing: why }`; the others are `{ url, version, note, cpuMs(), statements(), settle(), stop() }`.
 */
export async function startServers(kinds) {
  const folder = mkdtempSync(join(tmpdir(), 'session-bench-'))
  // The servers run as users of their own and must get through to their folders.
  chmodSync(folder, 0o755)
  process.on('exit', () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }))
  const servers = {}
  for (const kind of Object.keys(starters)) {
    if (!kinds.has(kind)) continue
    servers[kind] = await starters[kind](folder).catch((error) => ({ missing: error.message }))
  }
  return {
    ...servers,
    directory: makeFolder(join(folder, 'files')),
    async stop() {
      await Promise.allSettled(Object.values(servers).map((server) => server.stop?.()))
      rmSync(folder, { recursive: true, force: true })
    }
  }
}
