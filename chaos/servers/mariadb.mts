import { join } from 'node:path'
import { find } from '../../spec/support/find-program.ts'
import { freePort } from '../../spec/support/local-server.ts'
import { Daemon, type Workplace } from './daemon.mts'
import { LoneServer } from './lone-server.mts'
import { whereItLives } from './mysql-flags.mts'

export const MYSQL_ACCOUNTS = ['mysql', 'node', 'nobody']

export class MariadbServer extends LoneServer {
  private constructor(program: string, folder: string, port: number, workplace: Workplace, settings: readonly string[]) {
    const flags = ['--innodb-flush-log-at-trx-commit=1', '--innodb-flush-method=nosync', '--skip-log-bin']
    super('mysql', port, new Daemon('mariadb', [program, ...whereItLives(folder, { port }), ...flags, ...settings], workplace))
  }

  static async start(workplace: Workplace, name: string, settings: readonly string[] = []): Promise<MariadbServer> {
    const [program, install] = await Promise.all([find('mariadbd'), find('mariadb-install-db')])
    if (program === undefined || install === undefined) throw new Error('no MariaDB binaries: apt-get install mariadb-server')
    const folder = join(workplace.folder, name)
    await workplace.run(install, ['--no-defaults', `--datadir=${folder}`, '--auth-root-authentication-method=normal', '--skip-test-db'])
    const server = new MariadbServer(program, folder, await freePort(), workplace, settings)
    await server.start()
    return server
  }

  get url(): string {
    return `mysql://root@127.0.0.1:${this.port}/mysql`
  }
}
