import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import knexFactory from 'knex'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { installPackage, type Run, runKnex, runNode } from './project'

const ROOT = resolve(__dirname, '../..')

describe('the examples of docs/migrations.md', () => {
  let project: string
  const files = new Map<string, string>()

  beforeAll(async () => {
    project = await mkdtemp(join(tmpdir(), 'knex-session-store-docs-'))
    await installPackage(project)
    await writeFile(join(project, 'package.json'), '{ "private": true, "type": "commonjs" }')
    const guide = await readFile(join(ROOT, 'docs/migrations.md'), 'utf8')
    for (const [, file = '', code = ''] of guide.matchAll(/```[jt]s\n\/\/ (\S+)\n(.*?)```/gs)) {
      files.set(file, code)
      await mkdir(dirname(join(project, file)), { recursive: true })
      await writeFile(join(project, file), code)
    }
  })
  afterEach(async () => {
    for (const folder of ['.', 'options']) await rm(join(project, folder, 'app.sqlite'), { force: true })
  })
  afterAll(() => rm(project, { recursive: true, force: true }))

  async function tables(folder = '.'): Promise<string[]> {
    const knex = knexFactory({
      client: 'better-sqlite3',
      connection: { filename: join(project, folder, 'app.sqlite') },
      useNullAsDefault: true
    })
    const rows = await knex('sqlite_master').where('type', 'table').andWhereLike('name', '%sessions').orderBy('name')
    await knex.destroy()
    return rows.map(({ name }) => name)
  }

  const ends = (output: string): Run => ({ exitCode: 0, output: expect.stringContaining(output) as unknown as string })

  it('are all here', () => {
    expect([...files.keys()]).toEqual([
      'app.mjs',
      'knexfile.js',
      'knexfile.mjs',
      'knexfile.ts',
      'options/knexfile.js',
      'migrations/20270101000000_create_sessions.js',
      'make-table.mjs'
    ])
  })

  it('make the table by itself', async () => {
    expect(await runNode(project, ['app.mjs'])).toEqual(ends('there is a table'))
    expect(await tables()).toEqual(['sessions'])
  })

  it.each([
    ['knexfile.js', []],
    ['knexfile.mjs', []],
    ['knexfile.ts', ['--import', 'tsx']]
  ])('make the tables of the packaged and of the own migration by %s', async (knexfile, flags) => {
    expect(await runKnex(project, ['migrate:latest', '--knexfile', knexfile], flags)).toEqual(ends('Batch 1 run: 2 migrations'))
    expect(await tables()).toEqual(['sessions', 'web_sessions'])
    expect(await runKnex(project, ['migrate:rollback', '--knexfile', knexfile], flags)).toEqual(ends('rolled back: 2 migrations'))
    expect(await tables()).toEqual([])
  })

  it('give the packaged migration its options', async () => {
    expect(await runKnex(join(project, 'options'), ['migrate:latest'])).toEqual(ends('Batch 1 run: 1 migrations'))
    expect(await tables('options')).toEqual(['web_sessions'])
  })

  it('make the table by a script', async () => {
    expect(await runNode(project, ['make-table.mjs'])).toEqual(ends(''))
    expect(await tables()).toEqual(['web_sessions'])
  })

  it('show the migration that the stub makes', async () => {
    const stub = await readFile(join(ROOT, 'stubs/create-sessions.js'), 'utf8')
    const withoutComments = stub.replaceAll(/\/\*\*.*?\*\/\n/g, '')
    expect(files.get('migrations/20270101000000_create_sessions.js')).toBe(
      withoutComments.replace('{ version: 1 }', "{ version: 1, tableName: 'web_sessions' }")
    )
  })
})
