import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chown, mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

/** A database server that belongs to this test run alone. */
export interface LocalServer {
  readonly url: string
  /** Stops the server and removes its files. */
  stop(): Promise<void>
}

export interface ServerRecipe {
  /** For the folder's name and for messages. */
  readonly name: string
  /** Accounts to run as when the tests run as root, which database servers refuse. The first one there is, is taken. */
  readonly accounts: readonly string[]
  /** Fills the empty data folder. */
  initialise(dataDirectory: string, run: RunAsAccount): Promise<void>
  /** The command that serves it, in the foreground. */
  command(dataDirectory: string, port: number): readonly string[]
  /** Resolves with the url once the server answers there, rejects while it does not. */
  connect(port: number): Promise<string>
}

export type RunAsAccount = (command: string, args: readonly string[]) => Promise<void>

export interface Account {
  readonly uid?: number
  readonly gid?: number
}

/**
 * Runs the server ($@) until the pipe on its standard input closes: that is how a test run ends which was killed, and no server stays behind.
 * The server's own standard input is not the pipe, else it would be two that hold it.
 */
const KEEPER = `
directory=$1; shift
exec 3<&0
"$@" </dev/null 3<&- & server=$!
{ cat <&3 >/dev/null; kill -TERM $server 2>/dev/null; } &
wait $server
rm -rf "$directory"
`
const STARTING_MS = 60_000
const PORTS_TO_TRY = 5

export async function startLocalServer(recipe: ServerRecipe): Promise<LocalServer> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await startOnFreePort(recipe)
    } catch (error) {
      // Between looking for a free port and listening on it, another process may have taken it.
      if (attempt === PORTS_TO_TRY || !/address already in use/i.test(String(error))) throw error
    }
  }
}

async function startOnFreePort(recipe: ServerRecipe): Promise<LocalServer> {
  const account = await findAccount(recipe.accounts)
  const directory = await mkdtemp(join(tmpdir(), `knex-session-store-${recipe.name}-`))
  if (account.uid !== undefined && account.gid !== undefined) await chown(directory, account.uid, account.gid)
  const dataDirectory = join(directory, 'data')
  try {
    await recipe.initialise(dataDirectory, async (command, args) => {
      await promisify(execFile)(command, args, { ...account, cwd: directory })
    })
    const port = await freePort()
    const keeper = spawn('sh', ['-c', KEEPER, recipe.name, directory, ...recipe.command(dataDirectory, port)], {
      ...account,
      cwd: directory,
      detached: true,
      stdio: ['pipe', 'ignore', 'pipe']
    })
    const log = keepTail(keeper)
    const url = await answering(recipe, keeper, port)
    if (url !== undefined) return { url, stop: () => stop(keeper, directory) }
    await stop(keeper, directory)
    throw new Error(`${recipe.name} did not start: ${log().trim()}`)
  } catch (error) {
    await rm(directory, { recursive: true, force: true })
    throw error
  }
}

async function answering(recipe: ServerRecipe, keeper: ChildProcess, port: number): Promise<string | undefined> {
  const deadline = Date.now() + STARTING_MS
  while (Date.now() < deadline && keeper.exitCode === null && keeper.signalCode === null) {
    try {
      return await recipe.connect(port)
    } catch {
      // Not up yet: the loop looks again until the server answers, ends, or time is up.
      await sleep(50)
    }
  }
  return undefined
}

async function stop(keeper: ChildProcess, directory: string): Promise<void> {
  const ended = keeper.exitCode === null && keeper.signalCode === null ? once(keeper, 'exit') : undefined
  keeper.stdin?.end()
  await ended
  await rm(directory, { recursive: true, force: true })
}

function keepTail(keeper: ChildProcess): () => string {
  let tail = ''
  keeper.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    tail = (tail + chunk).slice(-4000)
  })
  // The pipe breaks when the server ends first, which `answering` notices by the exit code.
  keeper.stdin?.on('error', () => undefined)
  return () => tail
}

/** The account to run a server as, where this process is root's. */
export async function findAccount(names: readonly string[]): Promise<Account> {
  if (process.getuid?.() !== 0) return {}
  const lines = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'))
  for (const name of names) {
    const line = lines.find((fields) => fields[0] === name)
    if (line) return { uid: Number(line[2]), gid: Number(line[3]) }
  }
  throw new Error(`the tests run as root, which a database server refuses, and there is none of the accounts ${names.join(', ')}`)
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port on 127.0.0.1')
  return address.port
}
