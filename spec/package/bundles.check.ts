import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, inject, it } from 'vitest'
import { nodeOf, run, succeeded } from './run'

const { bundled } = inject('projects')
const node = nodeOf(bundled, '24')

const BUNDLES = [
  { bundler: 'esbuild', format: 'esm', extension: 'mjs' },
  { bundler: 'esbuild', format: 'cjs', extension: 'cjs' },
  { bundler: 'rollup', format: 'esm', extension: 'mjs' },
  { bundler: 'rollup', format: 'cjs', extension: 'cjs' },
  { bundler: 'webpack', format: 'esm', extension: 'mjs' },
  { bundler: 'webpack', format: 'cjs', extension: 'cjs' }
]

/** Bundles one of the applications into `app/dist/`, and runs it there. */
async function runBundled(entry: string, { bundler, format, extension }: (typeof BUNDLES)[number]) {
  const output = join(bundled, `app/dist/bundle/${entry}.${bundler}.${extension}`)
  expect(await run(node, bundled, ['bundles/bundle.mjs', bundler, format, `${entry}.mjs`, output])).toMatchObject({ code: 0 })
  return run(node, bundled, [output])
}

describe('the package in a bundle', () => {
  beforeAll(async () => {
    // Where the packaged migrations would be, seen from a bundle, are the application's own.
    await mkdir(join(bundled, 'app/migrations'), { recursive: true })
    await writeFile(join(bundled, 'app/migrations/20260101000000_things.js'), 'exports.up = exports.down = async () => {}')
  })

  // A bundle of CommonJS has no await outside of functions.
  it.each(BUNDLES.filter(({ format }) => format === 'esm'))('of $bundler as an ES module works', async (bundle) => {
    expect(await runBundled('app', bundle)).toEqual(succeeded)
  })

  it.each(BUNDLES)('of $bundler as $format loads, and says what to do where the folder of migrations is read', async (bundle) => {
    const { code, output } = await runBundled('knexfile', bundle)
    expect(output).toMatch(
      /^true ERR_SESSION_MIGRATIONS_DIRECTORY the packaged migrations are not .*Leave knex-session-store out of the bundle/
    )
    expect(code).toBe(0)
  })
})

describe('the folder of the packaged migrations', () => {
  it.each([
    ['CommonJS', '-e', "console.log(require('knex-session-store').migrationsDirectory)"],
    [
      'an ES module',
      '--input-type=module',
      '-e',
      "import { migrationsDirectory } from 'knex-session-store'; console.log(migrationsDirectory)"
    ],
    [
      'an ES module, of the default export',
      '--input-type=module',
      '-e',
      "import kss from 'knex-session-store'; console.log(kss.migrationsDirectory)"
    ]
  ])('is known to %s', async (_title, ...args) => {
    const expected = join(bundled, 'node_modules/knex-session-store/migrations')
    expect(await run(node, bundled, args)).toEqual({ code: 0, output: `${expected}\n` })
  })
})
