import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stopChildren } from '../child.mjs'
import { startMariadb } from './mariadb.mjs'
import { startPostgres } from './postgres.mjs'
import { makeFolder, stopPrograms } from './process.mjs'
import { startRedis } from './redis.mjs'

const starters = { pg: startPostgres, mysql: startMariadb, redis: startRedis }

/**
 * Starts the servers of `kinds`, in a temporary folder, on free ports of loopback. `memoryMb` is for the pages of PostgreSQL and MariaDB. A server that cannot be had is
 * `{ missing: why }`; the others are `{ url, version, note, cpuMs(), statements(), settle(), stop() }`. `stop()` of all, which a signal does too, ends the children of the bench first.
 */
export async function startServers(kinds, { memoryMb = 512 } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'session-bench-'))
  // The servers run as users of their own and must get through to their folders.
  chmodSync(folder, 0o755)
  process.on('exit', () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }))
  const servers = {}
  const stop = async () => {
    await stopChildren()
    await Promise.allSettled(Object.values(servers).map((server) => server.stop?.()))
    await stopPrograms()
    rmSync(folder, { recursive: true, force: true })
  }
  let interrupted = false
  const interrupt = () => {
    interrupted = true
    stop().finally(() => process.exit(130))
  }
  // Before the first server is started, which takes a while.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, interrupt)
  for (const kind of Object.keys(starters)) {
    if (!kinds.has(kind)) continue
    servers[kind] = await starters[kind](folder, memoryMb).catch((error) => ({ missing: error.message }))
    // The caller would go on without the server that was stopped: the exit is near.
    if (interrupted) await new Promise(() => {})
  }
  return { ...servers, directory: makeFolder(join(folder, 'files')), stop }
}
