import { existsSync } from 'node:fs'
import { copyFile, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, inject, it } from 'vitest'
import { type DatabaseName, databaseNamed } from '../support/databases'
import { nodeOf, run, succeeded } from './run'

const { bare, newest, oldest } = inject('projects')

describe('the packed package', () => {
  const installed = join(bare, 'node_modules/knex-session-store')

  it('brings no dependency but its peers, and loads without any database driver', async () => {
    const manifest = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8'))
    expect(manifest.dependencies ?? {}).toEqual({})
    for (const driver of ['pg', 'mysql', 'mysql2', 'better-sqlite3', 'sqlite3'])
      expect(existsSync(join(bare, 'node_modules', driver))).toBe(false)
    const script = "for (const path of ['', '/testing', '/unit-of-work']) require('knex-session-store' + path); console.log('done')"
    expect(await run(process.execPath, bare, ['-e', script])).toEqual(succeeded)
  })

  it('has what it is made of: the build, migrations, licence and readme, and neither sources nor specs', async () => {
    const entries = await readdir(installed)
    expect(entries).toEqual(expect.arrayContaining(['LICENSE', 'dist', 'package.json']))
    expect(entries.filter((name) => ['lib', 'spec', 'bench', 'examples', 'node_modules', '.ci'].includes(name))).toEqual([])
  })

  it('has a command, as npx finds it, which needs no driver where it makes no connection', async () => {
    const command = join(bare, 'node_modules/.bin/knex-session-store')
    expect(await run(command, bare, ['sql', '--client', 'pg'])).toEqual({
      code: 0,
      output: expect.stringContaining('CREATE TABLE "sessions"')
    })
    expect(await run(command, bare, ['check', '--url', 'postgres://localhost/app'])).toEqual({
      code: 1,
      output: expect.stringContaining('npm install pg')
    })
  })

  it.each(['commonjs.cjs', 'esm.mjs'])('is used from %s', async (file) => {
    expect(await run(nodeOf(newest, 24), newest, [file])).toEqual(succeeded)
  })

  it('is used from Jest 30, after a module reset too, and lets Jest end', async () => {
    const jest = ['node_modules/jest/bin/jest.js', '--ci', '--rootDir', '.', '--testMatch', '**/jest.test.cjs']
    const { code, output } = await run(nodeOf(newest, 24), newest, jest)
    expect(output).toMatch(/Tests:.* passed/)
    expect(output).not.toMatch(/failed|did not exit|open handle/)
    expect(code).toBe(0)
  })
})

describe('the packed package under the fake timers of Jest 30', () => {
  it.each(['node', 'jsdom'].flatMap((environment) => ['sqlite', 'postgres'].map((kind) => [environment, kind] as const)))(
    'answers in the environment %s, on %s, whenever they are switched on or off',
    async (environment, kind) => {
      await using database = await databaseNamed(kind as DatabaseName).open()
      const jest = [
        'node_modules/jest/bin/jest.js',
        '--ci',
        '--rootDir',
        '.',
        '--env',
        environment,
        '--testMatch',
        '**/jest-fakes.test.cjs'
      ]
      const { code, output } = await run(nodeOf(newest, 24), newest, jest, { DATABASE: JSON.stringify(database.config) })
      expect(output).toMatch(/Tests: +3 passed/)
      expect(output).not.toMatch(/did not exit|open handle/)
      expect(code).toBe(0)
    }
  )
})

describe('the types of the packed package', () => {
  const strictest = { exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true }
  const cases = [
    { compiler: 'typescript-5.0', project: oldest, module: 'commonjs', moduleResolution: 'node' },
    { compiler: 'typescript-5.0', project: oldest, module: 'node16', moduleResolution: 'node16' },
    { compiler: 'typescript-5.0', project: oldest, module: 'esnext', moduleResolution: 'bundler' },
    { compiler: 'typescript-6', project: newest, module: 'nodenext', moduleResolution: 'nodenext', ...strictest },
    { compiler: 'typescript-6', project: newest, module: 'esnext', moduleResolution: 'bundler' },
    { compiler: 'typescript-7', project: newest, module: 'nodenext', moduleResolution: 'nodenext', ...strictest },
    { compiler: 'typescript-7', project: newest, module: 'esnext', moduleResolution: 'bundler' }
  ]

  it.each(cases)('are right for $compiler with $moduleResolution', async ({ compiler, project, ...options }) => {
    const config = `tsconfig.${compiler}.${options.moduleResolution}.json`
    const compilerOptions = {
      target: 'es2022',
      types: ['node'],
      strict: true,
      esModuleInterop: true,
      skipLibCheck: false,
      noEmit: true,
      ...options
    }
    const files = ['typescript/app.ts', ...(options.module.startsWith('node') ? ['typescript/app.mts'] : [])]
    // The same application as a module of ES and as one of CommonJS.
    await copyFile(join(project, 'typescript/app.ts'), join(project, 'typescript/app.mts'))
    await writeFile(join(project, config), JSON.stringify({ compilerOptions, files }))
    const ended = await run(process.execPath, project, [`node_modules/${compiler}/bin/tsc`, '--pretty', 'false', '-p', config])
    expect(ended).toEqual({ code: 0, output: '' })
  })

  it('are checked: a mistake in the use of the package is found', async () => {
    const compilerOptions = { module: 'nodenext', target: 'es2022', types: ['node'], strict: true, esModuleInterop: true, noEmit: true }
    await writeFile(join(newest, 'tsconfig.mistake.json'), JSON.stringify({ compilerOptions, files: ['typescript/mistake.ts'] }))
    const { output } = await run(process.execPath, newest, [
      'node_modules/typescript-6/bin/tsc',
      '--pretty',
      'false',
      '-p',
      'tsconfig.mistake.json'
    ])
    expect(output).toMatch(/^typescript\/mistake\.ts.*'tableNmae' does not exist.*\n$/)
  })
})

describe('an Express application over HTTP, on the packed package', () => {
  it.each([20, 22, 24, 26])('runs on Node %i with PostgreSQL', async (line) => {
    await using database = await databaseNamed('postgres').open()
    expect(await run(nodeOf(newest, line), newest, ['server.mjs', JSON.stringify(database.config), `v${line}.`])).toEqual(succeeded)
  })

  // better-sqlite3 13 is for Node 22 and later.
  it.each([22, 24, 26])('runs on Node %i with SQLite', async (line) => {
    await using database = await databaseNamed('sqlite').open()
    expect(await run(nodeOf(newest, line), newest, ['server.mjs', JSON.stringify(database.config), `v${line}.`])).toEqual(succeeded)
  })

  it.each([
    [20, 'v20.19.0'],
    [22, 'v22.12.0']
  ])('runs on the first Node %i it is for, with the oldest knex and express-session, and Express 4', async (line, version) => {
    await using database = await databaseNamed('postgres').open()
    expect(await run(nodeOf(oldest, line), oldest, ['server.mjs', JSON.stringify(database.config), version])).toEqual(succeeded)
  })
})

describe('the contract, on the packed package', () => {
  it.each(['postgres', 'mysql', 'sqlite'] as const)('is met with the newest versions on %s', async (name) => {
    await using database = await databaseNamed(name).open()
    expect(await run(nodeOf(newest, 24), newest, ['contract.mjs', JSON.stringify(database.config)])).toEqual(succeeded)
  })

  it.each(['postgres', 'mysql'] as const)(
    'is met with the oldest versions of Node, knex, driver and express-session on %s',
    async (name) => {
      await using database = await databaseNamed(name).open()
      expect(await run(nodeOf(oldest, 20), oldest, ['contract.mjs', JSON.stringify(database.config)])).toEqual(succeeded)
    }
  )
})
