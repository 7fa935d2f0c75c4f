import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { promisify } from 'node:util'

const ROOT = resolve(__dirname, '../..')
const LIB = join(ROOT, 'lib')
const DIST = join(ROOT, 'dist')

/** Child processes of the specs run the built package, so a run of vitest alone builds it too, when lib/ is newer. */
export default async function build(): Promise<void> {
  if (!existsSync(join(LIB, 'index.ts')) || (await newest(DIST)) >= (await newest(LIB))) return
  // As deep as dist/, because the source maps name their sources relative to themselves.
  const output = await mkdtemp(join(ROOT, '.dist-'))
  try {
    await compile(output)
    await replaceDist(output)
  } finally {
    await rm(output, { recursive: true, force: true })
  }
}

async function compile(output: string): Promise<void> {
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
  try {
    await promisify(execFile)(process.execPath, [tsc, '-p', join(ROOT, 'tsconfig.build.json'), '--outDir', output], { cwd: ROOT })
  } catch (error) {
    const messages = (error as { stdout?: string }).stdout ?? String(error)
    if (process.env.CI) throw new Error(`lib/ does not compile:\n${messages}`)
    // A spec of a finished part can be run while another part is being written: tsc has emitted all the same.
    console.warn(`lib/ does not compile; the specs run what tsc made of it.\n${messages}`)
  }
}

/** File by file and by renaming, so that a second run at the same time never reads half a file. */
async function replaceDist(output: string): Promise<void> {
  const made = await filesIn(output)
  for (const file of made) {
    const target = join(DIST, relative(output, file))
    await mkdir(dirname(target), { recursive: true })
    await rename(file, target)
  }
  const wanted = new Set(made.map((file) => join(DIST, relative(output, file))))
  for (const file of await filesIn(DIST)) if (!wanted.has(file)) await rm(file, { force: true })
}

async function newest(directory: string): Promise<number> {
  const times = (await filesIn(directory)).map(async (file) => (await stat(file)).mtimeMs)
  return Math.max(0, ...(await Promise.all(times)))
}

async function filesIn(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => [])
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
}
