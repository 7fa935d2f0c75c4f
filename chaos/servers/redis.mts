import { find } from '../../spec/support/find-program.ts'
import { freePort } from '../../spec/support/local-server.ts'
import { Daemon, type Workplace } from './daemon.mts'
import { LoneServer } from './lone-server.mts'

/** A Redis that writes each command to its file before it answers, so that it can be killed and started again. */
export class RedisDatabase extends LoneServer {
  private constructor(program: string, folder: string, port: number, workplace: Workplace) {
    const settings = [
      '--bind',
      '127.0.0.1',
      '--port',
      String(port),
      '--dir',
      folder,
      '--save',
      '',
      '--appendonly',
      'yes',
      '--appendfsync',
      'always'
    ]
    super('redis', port, new Daemon('redis', [program, ...settings], workplace))
  }

  static async start(workplace: Workplace, name: string): Promise<RedisDatabase> {
    const program = await find('redis-server')
    if (program === undefined) throw new Error('no Redis: apt-get install redis-server')
    const server = new RedisDatabase(program, await workplace.makeFolder(name), await freePort(), workplace)
    await server.start()
    return server
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }
}
