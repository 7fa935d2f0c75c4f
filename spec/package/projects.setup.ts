import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import type { TestProject } from 'vitest/node'

declare module 'vitest' {
  export interface ProvidedContext {
    /** Folders of projects that have the packed package installed. */
    projects: Projects
  }
}

export interface Projects {
  /** Nothing but the package, and the peers that npm adds by itself. */
  readonly bare: string
  /** The versions of everything that the repository itself is developed with, and the newest of each Node line. */
  readonly newest: string
  /** The oldest versions of Node, knex, express-session and TypeScript that the package is for. */
  readonly oldest: string
  /** Bundlers, and what an application that is bundled leaves out of the bundle. */
  readonly bundled: string
}

const ROOT = resolve(__dirname, '../..')
const run = promisify(execFile)

/** Packs the package as it would be published and installs it into new projects. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'knex-session-store-package-'))
  const removeFolder = () => rm(folder, { recursive: true, force: true })
  try {
    const tarball = await pack(folder)
    const [bare, newest, oldest, bundled] = await Promise.all([
      install(join(folder, 'bare'), tarball, {}),
      install(join(folder, 'newest'), tarball, {
        ...(await developedWith('better-sqlite3', 'express', 'express-session', 'knex', 'pg')),
        ...(await developedWith('@types/express', '@types/express-session', '@types/node')),
        jest: '^30.0.0',
        'typescript-6': 'npm:typescript@^6.0.2',
        'typescript-7': 'npm:typescript@^7.0.2',
        ...nodes({ 20: '^20.19.0', 22: '^22.12.0', 24: '^24.0.0', 26: '^26.0.0' })
      }),
      install(join(folder, 'oldest'), tarball, {
        ...(await developedWith('pg')),
        '@types/express': '4.17.17',
        '@types/express-session': '1.18.0',
        '@types/node': '^20.9.0',
        express: '4.17.0',
        'express-session': '1.17.0',
        // 3.0.0 was published without half of its files.
        knex: '3.0.1',
        'typescript-5.0': 'npm:typescript@5.0.4',
        ...nodes({ 20: '20.19.0', 22: '22.12.0' })
      }),
      install(join(folder, 'bundled'), tarball, {
        ...(await developedWith('better-sqlite3', 'express-session', 'knex')),
        '@rollup/plugin-commonjs': '^29.0.0',
        '@rollup/plugin-json': '^6.1.0',
        '@rollup/plugin-node-resolve': '^16.0.0',
        esbuild: '^0.28.0',
        rollup: '^4.0.0',
        webpack: '^5.100.0',
        ...nodes({ 24: '^24.0.0' })
      })
    ])
    project.provide('projects', { bare, newest, oldest, bundled })
    return removeFolder
  } catch (error) {
    await removeFolder()
    throw error
  }
}

async function pack(folder: string): Promise<string> {
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: ROOT, env: outsideNpm() })
  // What the prepack script prints stands before the JSON.
  const [{ filename }] = JSON.parse(stdout.slice(stdout.search(/^\[/m)))
  return join(folder, filename)
}

async function install(folder: string, tarball: string, dependencies: Record<string, string>): Promise<string> {
  await mkdir(folder)
  await cp(join(__dirname, 'consumer'), folder, { recursive: true })
  const manifest = { name: 'consumer', private: true, dependencies: { 'knex-session-store': `file:${tarball}`, ...dependencies } }
  await writeFile(join(folder, 'package.json'), JSON.stringify(manifest))
  // No package that is installed here needs its scripts: each carries its binaries.
  await run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock'], { cwd: folder, env: outsideNpm() })
  return folder
}

/** The versions that are installed here, so that a release of theirs does not turn a run red by itself. */
async function developedWith(...names: string[]): Promise<Record<string, string>> {
  const entries = names.map(async (name) => {
    const manifest = JSON.parse(await readFile(join(ROOT, 'node_modules', name, 'package.json'), 'utf8'))
    return [name, manifest.version]
  })
  return Object.fromEntries(await Promise.all(entries))
}

/** Node's own binaries as npm packages, under the names node20, node22, … */
function nodes(versions: Record<string, string>): Record<string, string> {
  const { platform, arch } = process
  const prefix = platform === 'darwin' && arch === 'arm64' ? 'node-bin' : 'node'
  return Object.fromEntries(
    Object.entries(versions).map(([line, version]) => [`node${line}`, `npm:${prefix}-${platform}-${arch}@${version}`])
  )
}

/** The settings of the npm that runs us are for this repository; of them the new projects get only where packages come from. */
function outsideNpm(): NodeJS.ProcessEnv {
  const kept = /^npm_config_(registry|userconfig|globalconfig|cache)$/
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.toLowerCase().startsWith('npm_') || kept.test(name)))
}
