import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const root = resolve(__dirname, '../..')
/** What a reader of the guide has installed. */
const packages = ['better-sqlite3', 'cookie-signature', 'express', 'express-session', 'knex', 'supertest', 'vitest']
const {
  NODE_OPTIONS: _options,
  NODE_TEST_CONTEXT: _context,
  ...env
} = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('VITEST')))

describe('the examples of docs/testing.md', () => {
  let project: string
  const files: string[] = []

  beforeAll(async () => {
    project = await mkdtemp(join(tmpdir(), 'knex-session-store-docs-'))
    await mkdir(join(project, 'node_modules'))
    for (const name of packages) await symlink(join(root, 'node_modules', name), join(project, 'node_modules', name))
    await symlink(root, join(project, 'node_modules', 'knex-session-store'))
    const guide = await readFile(join(root, 'docs/testing.md'), 'utf8')
    for (const [, file = '', code = ''] of guide.matchAll(/```js\n\/\/ (\S+)\n(.*?)```/gs)) {
      files.push(file)
      await writeFile(join(project, file), code)
    }
  })
  afterAll(() => rm(project, { recursive: true, force: true }))

  it('run in node:test', { timeout: 60_000 }, async () => {
    const tests = files.filter((file) => file.endsWith('.node-test.mjs'))
    expect(tests).toHaveLength(6)
    const { stdout } = await promisify(execFile)(process.execPath, ['--test', '--test-reporter=tap', ...tests], { cwd: project, env })
    expect(stdout).toMatch(/^# fail 0$/m)
    expect(Number(/^# pass (\d+)$/m.exec(stdout)?.[1])).toBeGreaterThanOrEqual(80)
  })

  it('run in Vitest', { timeout: 60_000 }, async () => {
    expect(files).toContain('app.test.mjs')
    const vitest = join(root, 'node_modules/vitest/vitest.mjs')
    const { stdout } = await promisify(execFile)(process.execPath, [vitest, 'run', 'app.test.mjs'], {
      cwd: project,
      env: { ...env, NO_COLOR: '1' }
    })
    expect(stdout).toMatch(/Tests +1 passed/)
  })
})
