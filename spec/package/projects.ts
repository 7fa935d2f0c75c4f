import { execFile } from 'node:child_process'
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'

const ROOT = resolve(__dirname, '../..')
const run = promisify(execFile)

/** Packs the package as it would be published. Returns the path of the tarball. */
export async function pack(folder: string): Promise<string> {
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: ROOT, env: outsideNpm() })
  // What the prepack script prints stands before the JSON.
  const [{ filename }] = JSON.parse(stdout.slice(stdout.search(/^\[/m)))
  return join(folder, filename)
}

/** Makes a project with the packed package, the consumer's files and these dependencies. */
export async function install(folder: string, tarball: string, dependencies: Record<string, string>): Promise<string> {
  await mkdir(folder)
  await cp(join(__dirname, 'consumer'), folder, { recursive: true })
  const manifest = { name: 'consumer', private: true, dependencies: { 'knex-session-store': `file:${tarball}`, ...dependencies } }
  await writeFile(join(folder, 'package.json'), JSON.stringify(manifest))
  // No package that is installed here needs its scripts: each carries its binaries.
  await run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock'], { cwd: folder, env: outsideNpm() })
  return folder
}

/** The versions that are installed here, so that a release of theirs does not turn a run red by itself. */
export async function developedWith(...names: string[]): Promise<Record<string, string>> {
  const entries = names.map(async (name) => {
    const manifest = JSON.parse(await readFile(join(ROOT, 'node_modules', name, 'package.json'), 'utf8'))
    return [name, manifest.version]
  })
  return Object.fromEntries(await Promise.all(entries))
}

/** Node's own binaries as npm packages, under the names node20, node22, … */
export function nodes(versions: Record<string, string>): Record<string, string> {
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
