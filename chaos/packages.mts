import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const ROOT = join(import.meta.dirname, '..')
const NAME = 'knex-session-store'

/** A folder with the packed package of a version in its node_modules. */
export interface PackedVersion extends AsyncDisposable {
  readonly folder: string
}

/** Builds and packs a commit of this repository as it would be published; without one, what is here now. */
export async function packVersion(commit: string | undefined): Promise<PackedVersion> {
  const folder = await mkdtemp(join(tmpdir(), 'session-chaos-package-'))
  const version = { folder, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) }
  try {
    const source = commit === undefined ? ROOT : await checkOut(commit, join(folder, 'source'))
    if (commit !== undefined) await run(join(ROOT, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.build.json'], { cwd: source })
    await run('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], { cwd: source })
    const [tarball] = (await readdir(folder)).filter((name) => name.endsWith('.tgz'))
    const installed = join(folder, 'node_modules', NAME)
    await mkdir(installed, { recursive: true })
    await run('tar', ['-xzf', join(folder, tarball ?? ''), '-C', installed, '--strip-components=1'])
    for (const name of ['knex', 'express-session']) await symlink(join(ROOT, 'node_modules', name), join(folder, 'node_modules', name))
    return version
  } catch (error) {
    await version[Symbol.asyncDispose]()
    throw error
  }
}

async function checkOut(commit: string, source: string): Promise<string> {
  await mkdir(source)
  await run('sh', ['-c', 'git archive "$1" | tar -x -C "$2"', 'sh', commit, source], { cwd: ROOT })
  await symlink(join(ROOT, 'node_modules'), join(source, 'node_modules'))
  return source
}
