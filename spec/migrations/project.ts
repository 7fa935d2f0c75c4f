import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { OpenDatabase } from '../support/databases'

export type Format = 'js' | 'mjs' | 'ts'

export interface ProjectOptions {
  /** In which language the knexfile is, and a migration of the project's own. */
  readonly format: Format
  /** "type" of the project's package.json. @default 'commonjs' */
  readonly type?: 'commonjs' | 'module'
  /** Whether the migration is the packaged one, or made with the packaged stub. */
  readonly from: 'migrationsDirectory' | 'stub'
  /** `userParams.sessionsTable` of the knexfile. */
  readonly sessionsTable?: object
}

/** What the knex command did. */
export interface Run {
  readonly exitCode: number
  /** What it printed, without colours. */
  readonly output: string
}

const ROOT = resolve(__dirname, '../..')
const PACKAGE = ['dist', 'migrations', 'stubs', 'package.json']
const INSTALLED = ['knex', 'express-session', 'tsx', 'pg', 'mysql2', 'better-sqlite3']

/** A user's project, in a folder of its own with the built package copied into its node_modules, and the real knex command. */
export class Project implements AsyncDisposable {
  private constructor(
    readonly folder: string,
    private readonly options: ProjectOptions
  ) {}

  static async create({ config, name, url }: OpenDatabase, options: ProjectOptions): Promise<Project> {
    const folder = await mkdtemp(join(tmpdir(), 'knex-session-store-project-'))
    await installPackage(folder)
    await writeFile(join(folder, 'package.json'), JSON.stringify({ private: true, type: options.type ?? 'commonjs' }))
    await mkdir(join(folder, 'migrations'))
    const connection = name === 'sqlite' ? { filename: url } : url
    await writeFile(
      join(folder, `knexfile.${options.format}`),
      knexfile({ client: config.client, connection, useNullAsDefault: true }, options)
    )
    return new Project(folder, options)
  }

  /** Runs `knex …` in the project's folder, as `npx knex …` does. */
  knex(...args: string[]): Promise<Run> {
    return runKnex(this.folder, args, this.options.format === 'ts' ? ['--import', 'tsx'] : [])
  }

  /** As a user does it: `knex migrate:make create_sessions --stub …`. Answers the name of the file. */
  async makeMigration(): Promise<string> {
    const { format } = this.options
    const { exitCode, output } = await this.knex(
      'migrate:make',
      'create_sessions',
      '-x',
      format,
      '--stub',
      `node_modules/knex-session-store/stubs/create-sessions.${format}`
    )
    const [file] = await readdir(join(this.folder, 'migrations'))
    if (exitCode !== 0 || file === undefined) throw new Error(output)
    return file
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true })
  }
}

/** As npm does it: the built package is copied into node_modules, and what else a project needs is there too. */
export async function installPackage(folder: string): Promise<void> {
  const modules = join(folder, 'node_modules')
  await mkdir(join(modules, 'knex-session-store'), { recursive: true })
  for (const part of PACKAGE) await cp(join(ROOT, part), join(modules, 'knex-session-store', part), { recursive: true })
  for (const name of INSTALLED) await symlink(join(ROOT, 'node_modules', name), join(modules, name), 'junction')
}

/** Runs the knex command that is installed in the folder, or in one above it. */
export function runKnex(folder: string, args: readonly string[], nodeFlags: readonly string[] = []): Promise<Run> {
  return runNode(folder, [...nodeFlags, createRequire(join(folder, 'project.js')).resolve('knex/bin/cli.js'), ...args])
}

export function runNode(folder: string, args: readonly string[]): Promise<Run> {
  return new Promise((done) => {
    const child = execFile(process.execPath, args, { cwd: folder, env: environment() }, (_, stdout, stderr) => {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with one
      done({ exitCode: child.exitCode ?? -1, output: `${stdout}${stderr}`.replace(/\u001b\[\d+m/g, '') })
    })
  })
}

function knexfile(config: object, { format, type, from, sessionsTable }: ProjectOptions): string {
  // Knex loads no .mjs by itself.
  const loadExtensions = format === 'mjs' ? "loadExtensions: ['.js', '.mjs']," : ''
  const settings = `{
  ...${JSON.stringify(config)},
  migrations: { ${loadExtensions} directory: ${from === 'stub' ? "'./migrations'" : "[migrationsDirectory, './migrations']"} },
  userParams: ${JSON.stringify({ sessionsTable })}
}`
  const names = '{ migrationsDirectory }'
  if (format === 'ts') {
    return `import type { Knex } from 'knex'
import ${names} from 'knex-session-store'

const config: Knex.Config & { userParams: object } = ${settings}

export default config
`
  }
  return format === 'mjs' || type === 'module'
    ? `import ${names} from 'knex-session-store'\n\nexport default ${settings}\n`
    : `const ${names} = require('knex-session-store')\n\nmodule.exports = ${settings}\n`
}

/** vitest's own variables are not the command's. */
function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(VITEST|NODE_OPTIONS$|NODE_ENV$|TEST$|VITE_)/.test(name)))
}
