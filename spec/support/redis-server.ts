import { createClient } from 'redis'
import { find } from './find-program'
import { type LocalServer, startLocalServer } from './local-server'

/** Starts a Redis that keeps nothing on disk, or gives undefined where its program is not installed. */
export async function startRedis(): Promise<LocalServer | undefined> {
  const server = await find('redis-server')
  if (server === undefined) return undefined
  return startLocalServer({
    name: 'redis',
    accounts: ['redis', 'node', 'nobody'],
    initialise: (directory, run) => run('mkdir', [directory]),
    command: (directory, port) => [
      server,
      '--port',
      String(port),
      '--bind',
      '127.0.0.1',
      '--dir',
      directory,
      '--save',
      '',
      '--appendonly',
      'no'
    ],
    async connect(port) {
      const url = `redis://127.0.0.1:${port}`
      const client = createClient({ url, socket: { reconnectStrategy: false } })
      await client.connect()
      client.destroy()
      return url
    }
  })
}
