import { join } from 'node:path'
import { createClient } from 'redis'
import { findProgram, freePort, makeFolder, serverCpuMs, startProgram } from './process.mjs'

export async function startRedis(folder) {
  if (process.env.BENCH_REDIS_URL) return describe(process.env.BENCH_REDIS_URL, undefined)
  const server = findProgram('redis-server')
  if (!server) return { missing: 'no redis-server found: install Redis (Debian: redis-server) or set BENCH_REDIS_URL' }
  const port = await freePort()
  const home = makeFolder(join(folder, 'redis'))
  // Nothing is written to disk: the fastest Redis there is, and the one that loses all in a crash. See README.md.
  const args = ['--bind', '127.0.0.1', '--port', String(port), '--dir', home, '--save', '', '--appendonly', 'no']
  const program = startProgram(server, args)
  try {
    return await program.ready(() => describe(`redis://127.0.0.1:${port}`, program))
  } catch (error) {
    await program.stop()
    throw error
  }
}

async function describe(url, program) {
  const client = createClient({ url, socket: { reconnectStrategy: false } })
  client.on('error', () => {})
  await client.connect()
  const info = async (section, field) => new RegExp(`^${field}:(.*?)\\r?$`, 'm').exec(await client.info(section))?.[1]
  const appendonly = (await info('persistence', 'aof_enabled')) === '1' ? 'yes' : 'no'
  return {
    url,
    version: `Redis ${await info('server', 'redis_version')}`,
    note: `appendonly ${appendonly}${program ? ', no snapshots' : ''}`,
    cpuMs: () => (program ? serverCpuMs(program.pid) : null),
    statements: async () => Number(await info('stats', 'total_commands_processed')),
    settle: async () => {},
    async stop() {
      client.destroy()
      await program?.stop()
    }
  }
}
