import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, inject, it } from 'vitest'
import { type DatabaseName, databaseNamed } from '../support/databases'
import { developedWith, install, nodes } from './projects'
import { nodeOf, run, succeeded } from './run'

/** What the README claims, from the oldest to the newest, each with the newest of everything else. */
const VERSIONS: Readonly<Record<string, readonly string[]>> = {
  // 3.0.0 was published without half of its files.
  knex: ['2.4.0', '2.4.2', '2.5.1', '3.0.1', '3.1.0', '3.2.10', 'latest'],
  pg: ['8.2.0', '8.3.0', '8.7.3', '8.16.3', 'latest'],
  mysql2: ['2.0.0', '2.3.3', '3.0.0', '3.6.5', '3.11.5', 'latest'],
  'express-session': ['1.17.0', '1.17.3', '1.18.2', 'latest'],
  'better-sqlite3': ['latest']
}
const ON: Readonly<Record<string, readonly DatabaseName[]>> = {
  knex: ['postgres', 'mysql', 'sqlite'],
  pg: ['postgres'],
  mysql2: ['mysql'],
  'express-session': ['postgres'],
  'better-sqlite3': ['sqlite']
}

const tarball = inject('tarball')
const folders: string[] = []

async function projectWith(dependencies: Record<string, string>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'knex-session-store-matrix-'))
  folders.push(folder)
  const newest = await developedWith('better-sqlite3', 'express', 'express-session', 'knex', 'mysql2', 'pg')
  return install(join(folder, 'project'), tarball, { ...newest, ...nodes({ 24: '^24.0.0' }), ...dependencies })
}

afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))))

async function meetsTheContract(program: string, args: readonly string[], project: string, name: DatabaseName): Promise<void> {
  await using database = await databaseNamed(name).open()
  expect(await run(program, project, [...args, 'contract.mjs', JSON.stringify(database.config)])).toEqual(succeeded)
}

describe.each(Object.entries(VERSIONS))('the packed package meets the contract with %s', (name, versions) => {
  it.each(versions)('%s', { timeout: 300_000 }, async (version) => {
    const project = await projectWith({ [name]: version })
    for (const database of ON[name] ?? []) await meetsTheContract(nodeOf(project, 24), [], project, database)
  })
})

describe.each([
  ['Bun', 'bun', '^1.4.0', []],
  ['Deno', 'deno', '^2.9.0', ['run', '--allow-all']]
] as const)('the packed package meets the contract on %s', (_title, runtime, version, args) => {
  it.each(['postgres', 'mysql', 'sqlite'] as const)('with %s', { timeout: 300_000 }, async (database) => {
    const project = await projectWith({ [runtime]: version })
    // It puts the binary in its place, which is all that a script of an installed package is needed for here.
    if (runtime === 'bun') await run(nodeOf(project, 24), project, ['node_modules/bun/install.js'])
    await meetsTheContract(join(project, 'node_modules/.bin', runtime), args, project, database)
  })
})
