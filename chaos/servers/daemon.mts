import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chown, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { type Account, findAccount } from '../../spec/support/local-server.ts'

/**
 * Runs the server ($@) until the pipe on its standard input closes, so that no server stays behind when the runner is killed. Unlike a server
 * of the specs, it may end and be started again on the same files.
 */
const KEEPER = `
exec 3<&0
"$@" </dev/null 3<&- & server=$!
echo $server
{ cat <&3 >/dev/null; kill -CONT $server; kill -KILL $server; } 2>/dev/null &
wait $server
`

/** A folder of its own that belongs to the account that servers run as. */
export class Workplace implements AsyncDisposable {
  readonly folder: string
  readonly account: Account

  private constructor(folder: string, account: Account) {
    this.folder = folder
    this.account = account
  }

  static async make(accounts: readonly string[]): Promise<Workplace> {
    const account = await findAccount(accounts)
    const workplace = new Workplace(await mkdtemp(join(tmpdir(), 'session-chaos-')), account)
    await workplace.giveAway(workplace.folder)
    return workplace
  }

  async run(command: string, args: readonly string[]): Promise<string> {
    const { stdout } = await promisify(execFile)(command, args, { ...this.account, cwd: this.folder, maxBuffer: 1e7 })
    return stdout
  }

  async makeFolder(name: string): Promise<string> {
    const folder = join(this.folder, name)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await this.giveAway(folder)
    return folder
  }

  async giveAway(path: string): Promise<void> {
    const { uid, gid } = this.account
    if (uid !== undefined && gid !== undefined) await chown(path, uid, gid)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** A program of a server that is started, killed, frozen and started again. */
export class Daemon implements AsyncDisposable {
  readonly #name: string
  readonly #command: readonly string[]
  readonly #workplace: Pick<Workplace, 'folder' | 'account'>
  readonly #environment: Record<string, string>
  #keeper: ChildProcess | undefined
  #pid = 0
  #log = ''

  constructor(
    name: string,
    command: readonly string[],
    workplace: Pick<Workplace, 'folder' | 'account'>,
    environment: Record<string, string> = {}
  ) {
    this.#name = name
    this.#command = command
    this.#workplace = workplace
    this.#environment = environment
  }

  get pid(): number {
    return this.#pid
  }

  get isRunning(): boolean {
    return this.#keeper !== undefined && this.#keeper.exitCode === null && this.#keeper.signalCode === null
  }

  /** Resolves once `isReady` resolves. */
  async start(isReady: () => Promise<unknown>, more: readonly string[] = []): Promise<void> {
    const { account, folder } = this.#workplace
    const keeper = spawn('sh', ['-c', KEEPER, this.#name, ...this.#command, ...more], {
      ...account,
      cwd: folder,
      detached: true,
      env: { ...process.env, HOME: folder, ...this.#environment },
      stdio: ['pipe', 'pipe', 'pipe']
    })
    this.#keeper = keeper
    keeper.stdin?.on('error', () => undefined)
    keeper.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      this.#log = (this.#log + chunk).slice(-5_000)
    })
    const [line] = (await once(keeper.stdout as NonNullable<typeof keeper.stdout>, 'data')) as [Buffer]
    this.#pid = Number(String(line).split('\n')[0])
    keeper.stdout?.resume()
    await this.until(isReady)
  }

  /** Resolves once `isReady` resolves, while the program runs. */
  async until(isReady: () => Promise<unknown>): Promise<void> {
    const deadline = Date.now() + 90_000
    let last: unknown
    while (this.isRunning && Date.now() < deadline) {
      try {
        await isReady()
        return
      } catch (error) {
        last = error
        await sleep(50)
      }
    }
    throw new Error(`${this.#name} did not start: ${String(last)}\n${this.#log.trim()}`)
  }

  /** Sends the signal to the server's first process alone. */
  signal(signal: NodeJS.Signals): void {
    if (this.isRunning && this.#pid > 0) process.kill(this.#pid, signal)
  }

  /** Sends it to all processes of the server, the first one first. */
  async signalAll(signal: NodeJS.Signals): Promise<void> {
    if (!this.isRunning) return
    for (const pid of [this.#pid, ...(await descendants(this.#pid))]) {
      try {
        process.kill(pid, signal)
      } catch {
        // It has ended meanwhile.
      }
    }
  }

  async ended(): Promise<void> {
    if (this.#keeper && this.isRunning) await once(this.#keeper, 'exit')
  }

  /** As a machine that loses its power. */
  async kill(): Promise<void> {
    await this.signalAll('SIGKILL')
    await this.ended()
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    this.signal(signal)
    await this.ended()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
  }
}

/** By the kernel's own lists: a machine under load takes seconds to look at all its processes. */
async function descendants(pid: number): Promise<number[]> {
  const children = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')).split(' ').filter(Boolean).map(Number)
  const below = await Promise.all(children.map(descendants))
  return [...children, ...below.flat()]
}
