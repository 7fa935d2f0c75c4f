import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { installPackage } from '../migrations/project'
import type { OpenDatabase } from '../support/databases'

/** What a command did. */
export interface Ended {
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
}

/** An application's folder with the built package in its node_modules, a knexfile of the database, and the real command. */
export class Application implements AsyncDisposable {
  private constructor(readonly folder: string) {}

  static async create(database?: OpenDatabase, files: Readonly<Record<string, string>> = {}): Promise<Application> {
    const folder = await realpath(await mkdtemp(join(tmpdir(), 'knex-session-store-cli-')))
    await installPackage(folder)
    const knexfile = database === undefined ? {} : { 'knexfile.js': `module.exports = ${JSON.stringify(configOf(database))}` }
    const application = new Application(folder)
    await application.write({ 'package.json': '{ "private": true, "type": "commonjs" }', ...knexfile, ...files })
    return application
  }

  async write(files: Readonly<Record<string, string>>): Promise<void> {
    for (const [file, text] of Object.entries(files)) await writeFile(join(this.folder, file), text)
  }

  /** Runs `knex-session-store …` to its end. */
  run(...args: string[]): Promise<Ended> {
    return this.start(...args).ended
  }

  /** Begins it. */
  start(...args: string[]): RunningCommand {
    return this.startWith([], ...args)
  }

  /** The same with flags for node itself. */
  startWith(flags: readonly string[], ...args: string[]): RunningCommand {
    const command = join(this.folder, 'node_modules/knex-session-store/dist/cli/index.js')
    return new RunningCommand(
      spawn(process.execPath, [...flags, command, ...args], { cwd: this.folder, env: environment(), stdio: ['ignore', 'pipe', 'pipe'] })
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true })
  }
}

/** A command that runs. It is killed after half a minute. */
export class RunningCommand {
  readonly ended: Promise<Ended>
  private stdout = ''
  private stderr = ''

  constructor(private readonly child: ChildProcess) {
    child.stdout?.setEncoding('utf8').on('data', (text) => {
      this.stdout += text
    })
    child.stderr?.setEncoding('utf8').on('data', (text) => {
      this.stderr += text
    })
    const killer = setTimeout(() => child.kill('SIGKILL'), 30_000)
    this.ended = once(child, 'close').then(([exitCode]) => {
      clearTimeout(killer)
      return { exitCode, stdout: this.stdout, stderr: this.stderr }
    })
  }

  /** Resolves when the standard error has this in it. */
  async says(text: RegExp): Promise<void> {
    while (!text.test(this.stderr)) await once(this.child.stderr as NodeJS.ReadableStream, 'data')
  }

  interrupt(): void {
    this.child.kill('SIGINT')
  }
}

/** As a knexfile has it. */
export function configOf({ config, name, url }: OpenDatabase): object {
  return { client: config.client, connection: name === 'sqlite' ? { filename: url } : url, useNullAsDefault: true }
}

/** As `--url` takes it. */
export function urlOf({ name, url }: OpenDatabase): string {
  return name === 'sqlite' ? `sqlite:${url}` : url
}

/** vitest's own variables are not the command's. */
function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(VITEST|NODE_OPTIONS$|NODE_ENV$|TEST$|VITE_)/.test(name)))
}
