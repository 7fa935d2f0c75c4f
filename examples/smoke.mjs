// Runs recipes as a stranger does: a copy of the folder, a clean `npm install` with this package as it would be published, the recipe's smoke.mjs.
//   node examples/smoke.mjs                   all of them
//   node examples/smoke.mjs express fastify   these
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const examples = dirname(fileURLToPath(import.meta.url))
const recipes = (await readdir(examples)).filter((name) => existsSync(join(examples, name, 'smoke.mjs')))
const wanted = process.argv.length > 2 ? process.argv.slice(2) : recipes
const unknown = wanted.filter((name) => !recipes.includes(name))
if (unknown.length > 0) {
  console.error(`no such recipe: ${unknown.join(', ')}. There are: ${recipes.join(', ')}`)
  process.exit(1)
}

// The settings of the npm that runs this script are for this repository. The recipes get only where packages come from.
const settings = /^npm_config_(registry|userconfig|globalconfig|cache)$/
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name) || settings.test(name.toLowerCase())))
// The programs that a recipe starts run on the same Node as this script.
env.PATH = `${dirname(process.execPath)}${delimiter}${env.PATH}`

const folder = await mkdtemp(join(tmpdir(), 'knex-session-store-recipes-'))
try {
  const tarball = await pack()
  for (const recipe of wanted) await smoke(recipe, tarball)
} finally {
  await rm(folder, { recursive: true, force: true })
}

async function pack() {
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: dirname(examples), env })
  // What the prepack script prints stands before the JSON.
  const [{ filename }] = JSON.parse(stdout.slice(stdout.search(/^\[/m)))
  return join(folder, filename)
}

/** Prints one line; of a recipe that fails, also what it printed. */
async function smoke(recipe, tarball) {
  const started = performance.now()
  const seconds = () => `${((performance.now() - started) / 1000).toFixed(1)} s`
  const project = join(folder, recipe)
  try {
    await copy(join(examples, recipe), project, tarball)
    // On Node 20 npm takes better-sqlite3 12, which is compiled where its binary cannot be loaded.
    await run('npm', ['install', '--no-audit', '--no-fund'], { cwd: project, env, timeout: 600_000 })
    await run(process.execPath, ['smoke.mjs'], { cwd: project, env, timeout: 300_000 })
    console.log(`ok      ${recipe} (${seconds()})`)
  } catch ({ message, stdout = '', stderr = '' }) {
    console.log(`FAILED  ${recipe} (${seconds()}): ${message.split('\n', 1)[0]}\n${stdout}${stderr}`)
    process.exitCode = 1
  }
  await rm(project, { recursive: true, force: true })
}

/** Nothing that was installed or written while somebody tried the recipe in this repository. */
async function copy(source, project, tarball) {
  const left = /(^|[\\/])(node_modules|build|\.next|package-lock\.json|[^\\/]*\.sqlite(-\w+)?)$/
  await mkdir(project)
  await cp(source, project, { recursive: true, filter: (path) => !left.test(path.slice(examples.length)) })
  const manifest = JSON.parse(await readFile(join(project, 'package.json'), 'utf8'))
  manifest.dependencies['knex-session-store'] = `file:${tarball}`
  await writeFile(join(project, 'package.json'), JSON.stringify(manifest, null, 2))
}
