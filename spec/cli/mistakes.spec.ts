import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync } from 'node:fs'
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { describe, expect, it } from 'vitest'
import { Application } from './command'

const SQLITE = "client: 'better-sqlite3', useNullAsDefault: true"

describe('text that is not of the command', () => {
  it.each<[args: string[]]>([
    [['status', '--\u001b[31mred']],
    [['\u001b]0;title\u0007']],
    [['status', '--knexfile', '\u001b[2Jno\u009b.js']],
    [['status', '--knexfile', 'throws.js']],
    [['status', '--knexfile', 'class.js']],
    [['status', '--knexfile', 'environments.js']],
    [['status', '--options', 'options.js', '--url', 'sqlite:app.sqlite']],
    [['status', '--url', 'sqlite:app.sqlite', '--table', 'a\u001b[2J']],
    [['status', '--url', 'sqlite:app.sqlite', '--timeout', '\u009b1']],
    [['sql', '--client', '\u001b[2J']],
    [['sql', '--client', 'pg', '--table', 'a\u001b[2J']],
    [['import', '--url', 'sqlite:app.sqlite', '--from', '\u009b']]
  ])('reaches the screen without a control character: %j', async (args) => {
    await using application = await Application.create(undefined, {
      'app.sqlite': '',
      'throws.js': "throw new Error('\\u001b[31mred\\u009b')",
      'class.js': "class Evil {}; Object.defineProperty(Evil, 'name', { value: '\\u001b[31m' }); throw new Evil()",
      'environments.js': "module.exports = { '\\u001b[31mred': { client: 'pg' } }",
      'options.js': "module.exports = { '\\u001b[31mred': 1 }"
    })
    for (const more of [[], ['--json']]) {
      const { stdout, stderr } = await application.run(...args, ...more)
      // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for
      expect(stdout + stderr).toMatch(/^[^\u0000-\u0009\u000b-\u001f\u007f-\u009f]+$/)
    }
  })

  it('is no result: what a module of the application prints goes to the standard error', async () => {
    await using application = await Application.create(undefined, {
      'app.sqlite': '',
      'knexfile.js': `console.log('[dotenv] injected'); process.stdout.write('more\\n')
module.exports = { ${SQLITE}, connection: { filename: 'app.sqlite' } }`
    })
    const { stdout, stderr } = await application.run('status', '--json')
    expect(JSON.parse(stdout)).toMatchObject({ layout: 'missing' })
    expect(stderr).toContain('[dotenv] injected\nmore\n')
  })
})

it.each([
  ['a knexfile that throws', 'knexfile.js', "throw new Error('cannot use postgres://app:my@se/cret@host/app')"],
  ['an error of Knex', 'knexfile.js', "module.exports = { client: 'pg', connection: 'pg://app:my@se/cret@host:99999/app' }"],
  ['a syntax error beside a password', 'knexfile.js', "module.exports = { client: 'pg', connection: { password: 'it's-se/cret' } }"],
  [
    'an error that nothing catches',
    'knexfile.js',
    "setTimeout(() => { throw new Error('my@se/cret') }, 0); module.exports = new Promise(() => {})"
  ],
  [
    'an error that quotes the password of the connection',
    'knexfile.js',
    `module.exports = { client: class { constructor({ connection }) { throw new Error('no ' + connection.password) } }, connection: { password: 'my@se/cret' } }`
  ]
])('shows no part of a password: %s', async (_, file, source) => {
  await using application = await Application.create(undefined, { [file]: source })
  const { stdout, stderr, exitCode } = await application.run('check')
  expect(stdout + stderr).not.toMatch(/my|cret/)
  expect(stderr).toMatch(/^knex-session-store: .+\n$/)
  expect(exitCode).toBeGreaterThan(0)
})

describe('a mistyped file of a database', () => {
  const missing = (folder: string, file: string) => `there is no file ${join(folder, file)} with a database in it`
  it.each<[what: string, config: string, args: string[], message: RegExp | undefined]>([
    ['a text as connection', `{ ${SQLITE}, connection: './none.sqlite' }`, [], undefined],
    ['a filename', `{ ${SQLITE}, connection: { filename: 'none.sqlite' } }`, [], undefined],
    ['a function', `{ ${SQLITE}, connection: async () => ({ filename: 'none.sqlite' }) }`, [], undefined],
    ['the dialect in place of the client', `{ dialect: 'better-sqlite3', connection: { filename: 'none.sqlite' } }`, [], undefined],
    ['a file: URI', `{ ${SQLITE}, connection: { filename: 'file:none.sqlite' } }`, [], /there is no file .*file:none\.sqlite/],
    ['a folder', `{ ${SQLITE}, connection: { filename: 'node_modules' } }`, [], /node_modules is not a file with a database in it/],
    ['a URL as connection', `{ ${SQLITE}, connection: 'sqlite://none.sqlite' }`, [], /connection: \{ filename: 'app\.sqlite' \}/],
    ['no filename', `{ ${SQLITE}, connection: {} }`, [], /connection: \{ filename: 'app\.sqlite' \}/],
    ['memory', `{ ${SQLITE}, connection: ':memory:' }`, [], /a database in memory/],
    ['an environment', `{ development: { ${SQLITE}, connection: 'none.sqlite' } }`, [], undefined],
    [
      'a text with a password that reads as a host',
      "{ client: 'pg', connection: 'postgres://app:s3@cr/et@host/db' }",
      [],
      /no valid URL.*%2F/
    ],
    ['a text that is no URL', "{ client: 'pg', connection: 'postgres://app:s3/cret@host/db' }", [], /no valid URL.*%2F/],
    ['a URL', '{}', ['--url', 'sqlite:none.sqlite'], undefined],
    ['a URL with slashes', '{}', ['--url', 'sqlite://none.sqlite'], undefined],
    ['a URL of memory', '{}', ['--url', 'sqlite::memory:'], /a database in memory/]
  ])('makes no database: %s', async (_, config, args, message) => {
    await using application = await Application.create(undefined, { 'knexfile.js': `module.exports = ${config}` })
    const before = await readdir(application.folder)
    for (const command of [['status'], ['check'], ['prune'], ['import', '--from', 'connect-session-knex']]) {
      const { exitCode, stderr, stdout } = await application.run(...command, ...args)
      expect({ exitCode, stdout }, stderr).toEqual({ exitCode: 1, stdout: '' })
      if (message === undefined) expect(stderr).toBe(`knex-session-store: ${missing(application.folder, 'none.sqlite')}\n`)
      else expect(stderr).toMatch(message)
    }
    expect(await readdir(application.folder)).toEqual(before)
  })
})

it.each<[args: string[], message: RegExp]>([
  [['destroy', '--owner', '1', '--owner', '2', '--url', 'sqlite:app.sqlite'], /--owner was given twice/],
  [['status', '--url', 'sqlite:a', '--url=sqlite:b'], /--url was given twice/],
  [['status', '--table', 'a', '--table', 'a'], /--table was given twice/]
])('refuses a repeated option: %j', async (args, message) => {
  await using application = await Application.create()
  const { exitCode, stdout, stderr } = await application.run(...args)
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' })
  expect(stderr).toMatch(message)
})

describe('an output that cannot be written', () => {
  const command = (application: Application) => join(application.folder, 'node_modules/knex-session-store/dist/cli/index.js')

  it.skipIf(!existsSync('/dev/full'))('is a failure that is said (skipped where there is no /dev/full)', async () => {
    await using application = await Application.create()
    const full = openSync('/dev/full', 'w')
    for (const args of [['sql', '--client', 'pg'], ['--help'], ['sql', '--client', 'pg', '--json']]) {
      const child = spawn(process.execPath, [command(application), ...args], { stdio: ['ignore', full, 'pipe'] })
      const [stderr, [exitCode]] = await Promise.all([text(child.stderr as NodeJS.ReadableStream), once(child, 'close')])
      expect({ exitCode, stderr }).toEqual({ exitCode: 1, stderr: 'knex-session-store: the result could not be written (ENOSPC)\n' })
    }
    closeSync(full)
  })

  it('is a failure without words if the reader has gone, as head does', async () => {
    await using application = await Application.create()
    const child = spawn(process.execPath, [command(application), 'sql', '--client', 'pg'], { stdio: ['ignore', 'pipe', 'pipe'] })
    child.stdout.destroy()
    const [stderr, [exitCode]] = await Promise.all([text(child.stderr), once(child, 'close')])
    expect({ exitCode, stderr }).toEqual({ exitCode: 1, stderr: '' })
  })
})

describe('a knexfile', () => {
  const config = `{ ${SQLITE}, connection: { filename: 'app.sqlite' } }`
  const run = async (source: string, args: string[] = [], file = 'knexfile.js') => {
    await using application = await Application.create(undefined, { 'app.sqlite': '', [file]: source })
    return await application.run('status', '--json', ...args)
  }

  it.each<[what: string, source: string, args?: string[], file?: string]>([
    ['a configuration', `module.exports = ${config}`],
    ['a promise', `module.exports = Promise.resolve(${config})`],
    ['a function', `module.exports = () => (${config})`],
    ['module.exports.default', `module.exports.default = ${config}`],
    ['a promise as default', `exports.__esModule = true; exports.default = Promise.resolve({ development: ${config} })`],
    ['environments as named exports', `export const development = ${config}`, ['--knexfile', 'named.mjs'], 'named.mjs'],
    ['dialect in place of client', `module.exports = { dialect: 'better-sqlite3', connection: { filename: 'app.sqlite' } }`],
    ['a text as connection', `module.exports = { ${SQLITE}, connection: './app.sqlite' }`],
    ['a Knex instance', `module.exports = require('knex')(${config})`],
    ['a function that returns a Knex instance', `module.exports = async () => require('knex')(${config})`],
    ['a Knex instance of an environment', `module.exports = { development: require('knex')(${config}) }`]
  ])('may export %s', async (_, source, args, file) => {
    const { exitCode, stdout, stderr } = await run(source, args, file)
    expect({ exitCode, stderr, ...JSON.parse(stdout) }).toMatchObject({ exitCode: 1, stderr: '', layout: 'missing' })
  })

  it('that exports the Knex instance of the application may lie in another folder: its paths begin where the command is run', async () => {
    await using application = await Application.create(undefined, { 'app.sqlite': '' })
    await mkdir(join(application.folder, 'src'))
    await application.write({ 'src/db.js': `module.exports = require('knex')(${config})` })
    const { stdout } = await application.run('status', '--json', '--knexfile', 'src/db.js')
    expect(JSON.parse(stdout)).toMatchObject({ layout: 'missing' })
  })

  it.each<[what: string, source: string, message: RegExp, file?: string]>([
    ['a text', "module.exports = 'postgres://app:s3cret@host/db'", /exports a string.*client.*connection/],
    ['no client', "module.exports = { connection: 'postgres://app:s3cret@host/db' }", /has no client.*client: 'pg'/],
    ['an environment without a client', 'module.exports = { development: { connection: {} } }', /environment "development".*has no client/],
    ['an environment that is a function', 'module.exports = { development: () => ({}) }', /environment "development".*is a function/],
    [
      'other environments',
      "module.exports = { a: { client: 'pg' }, b: { client: 'pg' } }",
      /no environment "development"; it has: a, b\. Give --env/
    ],
    ['TypeScript that Node.js does not run', 'enum A { B }\nexport default {}', /node --import tsx/, 'knexfile.ts'],
    ['TypeScript that imports without an ending', "import a from './other'\nexport default a", /node --import tsx/, 'knexfile.ts'],
    ['a wrong module', "require('./none')", /Cannot find module '\.\/none'/]
  ])('is refused with what to do: %s', async (_, source, message, file) => {
    const { exitCode, stdout } = await run(source, [], file)
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, error: { message: expect.stringMatching(message) } })
    expect(stdout).not.toMatch(/s3|cret@/)
    expect(exitCode).toBe(2)
  })
})

describe('sql --client', () => {
  it('takes the table of --options', async () => {
    await using application = await Application.create(undefined, {
      'options.js': "module.exports = { tableName: 'web', columns: { id: 'sid' }, prefix: 'web:' }"
    })
    const { exitCode, stdout } = await application.run('sql', '--client', 'pg', '--options', 'options.js', '--schema', 'app')
    expect(exitCode).toBe(0)
    expect(stdout).toMatch(/^CREATE TABLE "app"\."web" \(\s*"sid"/)
  })

  it('prints names with control characters as JSON alone', async () => {
    await using application = await Application.create()
    const args = ['sql', '--client', 'pg', '--table', 'a\nb']
    expect(await application.run(...args)).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('--json') })
    const { stdout } = await application.run(...args, '--json')
    expect(JSON.parse(stdout).statements[0]).toContain('CREATE TABLE "a\nb"')
  })
})

it.each(['postgres://app:pa@ss/w0rd@127.0.0.1/db', 'mysql://app:12/w0rd@127.0.0.1/db', 'postgres://app:pa#ss@127.0.0.1/db'])(
  'refuses a URL with a password of which a part would be taken for the host: %s',
  async (url) => {
    await using application = await Application.create()
    const { exitCode, stderr } = await application.run('check', '--url', url)
    expect({ exitCode, stderr }).toEqual({ exitCode: 2, stderr: expect.stringContaining('are written as %40 %2F %23') })
    expect(stderr).not.toMatch(/\bss\b|w0rd|12/)
  }
)

it.each<[args: string[], message: RegExp]>([
  [['status', '--table', 'a?'], /^--table must be a name without a question mark/],
  [['status', '--schema', 'a?'], /^--schema must be a name/],
  [
    ['status', '--table', 'app.sessions'],
    /^--table must be a name without a dot, unless --schema is given.*--schema app, --table sessions/
  ],
  [['status', '--prefix', 'x'.repeat(300)], /^--prefix must be a string of at most/],
  [['status', '--options', 'options.js'], /^tableName \(--table\) must be a name/],
  [['import', '--from', 'connect-pg'], /^--from must be one of .*did you mean 'connect-pg-simple'/],
  [['import', '--from', 'connect-session-knex'], /^--table must be another table.*--table web_sessions.*\(--from-table\)/],
  [
    ['import', '--from', 'connect-pg-simple', '--from-table', 'none'],
    /^--from-table must be the table of connect-pg-simple.*--from-table, --from-schema/
  ],
  [['sql', '--unlogged'], /write-ahead log: leave out --unlogged/],
  [['sql', '--client', 'nothing'], /does not support the Knex client "nothing"/],
  [['owner', 'a'.repeat(300)], /^<id> must be /],
  [['destroy', '--owner', 'a'.repeat(300)], /^--owner must be /]
])('names what was typed: %j', async (args, message) => {
  await using application = await Application.create(undefined, { 'app.sqlite': '', 'options.js': "module.exports = { tableName: 'a?' }" })
  const url = args.includes('--client') ? [] : ['--url', 'sqlite:app.sqlite']
  const { exitCode, stdout } = await application.run(...args, ...url, '--json')
  expect(JSON.parse(stdout).error.message).toMatch(message)
  expect(stdout).not.toMatch(/fromTable|fromSchema|tableName:/)
  expect(exitCode).toBe(2)
})
