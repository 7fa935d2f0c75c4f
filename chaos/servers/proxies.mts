import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { find } from '../../spec/support/find-program.ts'
import { freePort } from '../../spec/support/local-server.ts'
import { findPgbouncer, GET_PGBOUNCER } from '../../spec/support/pgbouncer.ts'
import { Daemon, type Workplace } from './daemon.mts'

/** A proxy of a cluster, and the port where it is. */
export interface Proxy extends AsyncDisposable {
  readonly port: number
}

/** A server behind haproxy. With `checkPort`, its own word is asked for there by HTTP; else it is asked whether it takes writes. */
export interface Behind {
  readonly name: string
  readonly port: number
  readonly checkPort?: number
}

const FIRST_CHECKS_MS = 3_000
const ASKS_WHETHER_PRIMARY = `#!/bin/sh
[ "$(psql -qAtX -h "$3" -p "$4" -U postgres -d postgres -c 'select pg_is_in_recovery()' 2>/dev/null)" = f ]
`

const ASKS_WHETHER_SYNCED = `#!/bin/sh
[ "$(mariadb --no-defaults -h "$3" -P "$4" -u root -N -B --connect-timeout=1 -e "SHOW GLOBAL STATUS LIKE 'wsrep_ready'" 2>/dev/null | cut -f2)" = ON ]
`

/** A member that does not see more than half of the group commits nothing, so it is left out, as MySQL Router leaves it out. */
const ASKS_WHETHER_WRITABLE = `#!/bin/sh
sql="SELECT @@super_read_only = 0 AND MAX(member_id = @@server_uuid AND member_state = 'ONLINE')
  AND 2 * SUM(member_state IN ('ONLINE', 'RECOVERING')) > COUNT(*) FROM performance_schema.replication_group_members"
[ "$(mariadb --no-defaults -h "$3" -P "$4" -u root -N -B --connect-timeout=1 -e "$sql" 2>/dev/null)" = 1 ]
`

/** An haproxy that leads to the server that takes writes, and ends the connections to one that does not any more. */
export async function startHaproxy(workplace: Workplace, behind: readonly Behind[], isReady: IsReady): Promise<Proxy> {
  const byHttp = behind.some(({ checkPort }) => checkPort !== undefined)
  const check = byHttp
    ? ['option httpchk GET /primary', 'http-check expect status 200']
    : await externalCheck(workplace, 'is-primary', ASKS_WHETHER_PRIMARY)
  const servers = behind.map(
    ({ name, port, checkPort }) => `server ${name} 127.0.0.1:${port} check ${checkPort ? `port ${checkPort}` : ''}`
  )
  return runHaproxy(workplace, [...check, ...servers], isReady)
}

/** An haproxy that leads to the first of the Galera nodes, and to another one where that is no part of its cluster. */
export async function startNodeProxy(workplace: Workplace, addresses: readonly string[], isReady: IsReady): Promise<Proxy> {
  const check = await externalCheck(workplace, 'is-synced', ASKS_WHETHER_SYNCED)
  const servers = addresses.map((address, place) => `server n${place} ${address} check ${place > 0 ? 'backup' : ''}`)
  return runHaproxy(workplace, [...check, ...servers], isReady)
}

/** The same for members of a MySQL Group Replication: one that only reads, or that has lost the majority, is left out. */
export async function startMemberProxy(workplace: Workplace, addresses: readonly string[], isReady: IsReady): Promise<Proxy> {
  const check = await externalCheck(workplace, 'is-writable', ASKS_WHETHER_WRITABLE)
  const servers = addresses.map((address, place) => `server m${place} ${address} check inter 1s ${place > 0 ? 'backup' : ''}`)
  return runHaproxy(workplace, [...check, ...servers], isReady)
}

type IsReady = (port: number) => Promise<void>

async function externalCheck(workplace: Workplace, name: string, text: string): Promise<string[]> {
  const script = join(workplace.folder, name)
  await writeFile(script, text)
  await chmod(script, 0o755)
  return ['option external-check', 'external-check path "/usr/bin:/bin"', `external-check command ${script}`]
}

async function runHaproxy(workplace: Workplace, lines: readonly string[], isReady: IsReady): Promise<Proxy> {
  const program = await find('haproxy')
  if (program === undefined) throw new Error('no haproxy: apt-get install haproxy')
  const port = await freePort()
  const settings = `global
  maxconn 1000
  external-check
  insecure-fork-wanted
defaults
  mode tcp
  timeout connect 1s
  timeout check 2s
  timeout client 10m
  timeout server 10m
  retries 2
listen chosen
  bind 127.0.0.1:${port}
  default-server inter 300ms fall 2 rise 1 on-marked-down shutdown-sessions
${lines.map((line) => `  ${line}\n`).join('')}`
  const file = join(workplace.folder, `haproxy-${port}.cfg`)
  await writeFile(file, settings)
  const daemon = new Daemon('haproxy', [program, '-db', '-f', file], workplace)
  await daemon.start(() => isReady(port))
  // It takes each server for well until it has asked twice.
  await sleep(FIRST_CHECKS_MS)
  // On a busy machine its checks run out of time at first.
  await daemon.until(() => isReady(port))
  return { port, [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose]() }
}

/** A pgbouncer in transaction mode before the port. */
export async function startBouncer(workplace: Workplace, port: number, isReady: IsReady): Promise<Proxy> {
  const program = await findPgbouncer()
  if (program === undefined) throw new Error(`no pgbouncer: ${GET_PGBOUNCER}`)
  const own = await freePort()
  const settings = [
    '[databases]',
    `* = host=127.0.0.1 port=${port} user=postgres`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${own}`,
    'unix_socket_dir =',
    'auth_type = any',
    'pool_mode = transaction',
    'default_pool_size = 10',
    'max_client_conn = 400',
    'server_login_retry = 1',
    ''
  ]
  const file = join(workplace.folder, 'pgbouncer.ini')
  await writeFile(file, settings.join('\n'))
  const daemon = new Daemon('pgbouncer', [program, '-q', file], workplace)
  await daemon.start(() => isReady(own))
  return { port: own, [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose]() }
}
