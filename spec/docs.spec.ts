import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { access, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve, sep } from 'node:path'
import { createInterface } from 'node:readline'
import ts from 'typescript'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'

const ROOT = resolve(__dirname, '..')

interface Block {
  /** As an editor takes it: `README.md:6`, the first line of the code. */
  readonly place: string
  readonly guide: string
  readonly language: string
  readonly line: number
  readonly code: string
}

describe('the first example of', () => {
  const PACKAGES = ['better-sqlite3', 'express', 'express-session', 'knex']
  let project: string
  let app: ChildProcess | undefined

  beforeEach(async () => {
    project = await mkdtemp(join(tmpdir(), 'knex-session-store-readme-'))
    await mkdir(join(project, 'node_modules'))
    for (const name of PACKAGES) await symlink(join(ROOT, 'node_modules', name), join(project, 'node_modules', name), 'junction')
    await symlink(ROOT, join(project, 'node_modules', 'knex-session-store'), 'junction')
  })
  afterEach(async () => {
    if (app !== undefined && app.exitCode === null && app.signalCode === null) {
      app.kill()
      await once(app, 'exit')
    }
    await rm(project, { recursive: true, force: true })
  })

  /** Returns the address of the application. */
  async function start(guide: string): Promise<string> {
    const [example] = blocksOf(guide)
    const parts = example?.code.split('app.listen(3000)') ?? []
    expect(parts).toHaveLength(2)
    // Any free port, and said on which: nothing else of the example is changed.
    await writeFile(join(project, 'app.mjs'), parts.join('const server = app.listen(0, () => console.log(server.address().port))'))
    app = spawn(process.execPath, ['app.mjs'], { cwd: project, env: environment(), stdio: ['ignore', 'pipe', 'inherit'] })
    return `http://127.0.0.1:${await firstLine(app)}/`
  }

  it('README.md counts the visits of each visitor, in a file of its folder', async () => {
    const address = await start('README.md')
    const first = await fetch(address)
    expect(await first.text()).toBe('Visit 1')
    const cookie = first.headers.getSetCookie()[0]?.split(';')[0] as string
    expect(await (await fetch(address, { headers: { cookie } })).text()).toBe('Visit 2')
    expect(await (await fetch(address)).text()).toBe('Visit 1')
    await access(join(project, 'app.sqlite'))
  })

  it('docs/getting-started.md signs a visitor in, over a restart, and out', async () => {
    let address = await start('docs/getting-started.md')
    const signedIn = await fetch(`${address}sign-in`, { method: 'POST', redirect: 'manual' })
    expect(signedIn.status).toBe(303)
    const headers = { cookie: signedIn.headers.getSetCookie()[0]?.split(';')[0] as string }
    const home = async () => (await fetch(address, { headers })).text()
    expect(await home()).toBe('You are user 17.')
    app?.kill()
    if (app !== undefined) await once(app, 'exit')
    address = await start('docs/getting-started.md')
    expect(await home()).toBe('You are user 17.')
    await fetch(`${address}sign-out`, { method: 'POST', headers, redirect: 'manual' })
    expect(await home()).toBe('Nobody is signed in.')
  })
})

describe('the examples of the guides and of doc comments', () => {
  // Those of docs/testing.md and docs/migrations.md are run, by spec/testing/docs.spec.ts and spec/migrations/docs.spec.ts.
  const GUIDES = [
    'README.md',
    'docs/cli.md',
    'docs/clients.md',
    'docs/concurrency.md',
    'docs/getting-started.md',
    'docs/methods.md',
    'docs/migrating.md',
    'docs/observability.md',
    'docs/options.md',
    'docs/owners.md',
    'docs/production.md',
    'docs/security.md',
    'docs/typescript.md',
    'docs/unit-of-work.md'
  ]
  const MISTAKE: Block = {
    place: 'docs/mistake.md:3',
    guide: 'docs/mistake.md',
    language: 'js',
    line: 3,
    code: "await store.prun()\n\nstore.on('conflict', ({ kys }) => log.info({ kys }, 'conflict'))\nnew KnexSessionStore({ knex: db, tablename: 'web' })\n"
  }
  const SOURCES = readdirSync(join(ROOT, 'lib'), { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))
  /** They have no example. A page that gets one has to go to the list above, or to a spec that runs it. */
  const PROSE = ['README.md', 'benchmarks.md', 'chaos.md', 'databases.md', 'faq.md', 'guarantees.md', 'scaling.md', 'troubleshooting.md']
  const RUN = ['migrations.md', 'testing.md']
  const examples = SOURCES.flatMap((file) => examplesOf(`lib/${file.split(sep).join('/')}`))
  const blocks = [...GUIDES.flatMap(blocksOf), ...examples]
  let mistakes: ReadonlyMap<Block, readonly string[]>

  beforeAll(() => {
    mistakes = typeCheck([...blocks, MISTAKE])
  })

  it.each(GUIDES)('are found in %s', (guide) => {
    expect(blocks.filter((block) => block.guide === guide)).not.toEqual([])
  })

  it('are checked on every page of docs/', () => {
    const pages = readdirSync(join(ROOT, 'docs')).filter((name) => name.endsWith('.md'))
    expect(pages.sort()).toEqual([...GUIDES.flatMap((guide) => guide.split('docs/')[1] ?? []), ...PROSE, ...RUN].sort())
    expect(PROSE.flatMap((name) => blocksOf(`docs/${name}`))).toEqual([])
  })

  it('are found in doc comments', () => {
    expect(examples.length).toBeGreaterThan(10)
  })

  it.each(blocks)('have the right types at $place', (block) => {
    expect(mistakes.get(block)).toEqual([])
  })

  it('have wrong types where there is a mistake, told by file and line', () => {
    expect(mistakes.get(MISTAKE)).toEqual([
      expect.stringMatching(/^docs\/mistake\.md:3 .*'prun'.*'prune'/s),
      expect.stringMatching(/^docs\/mistake\.md:5 .*'kys'/s),
      expect.stringMatching(/^docs\/mistake\.md:6 .*'tablename'.*'tableName'/s)
    ])
  })
})

/** What an example takes from the reader's application. An example's own declaration goes before these, as each is a module. */
const ASSUMED = `
import type { Knex } from 'knex'
import type { Express } from 'express'
import type { FastifyInstance } from 'fastify'
import type { KnexSessionStore as Store, SessionStoreEvents } from 'knex-session-store'

declare module 'express-session' {
  interface SessionData {
    name?: string
    visits?: number
    userId?: number
    tenantId?: number
  }
}

declare global {
  namespace NodeJS {
    interface ProcessEnv {
      SESSION_KEY: string
    }
  }
  const db: Knex
  const knex: Knex
  const app: Express
  const session: typeof import('express-session')
  const secret: string
  const KnexSessionStore: typeof Store
  // Without the "on" that any emitter of events has, which takes every name and every listener.
  const store: Omit<Store, 'on'> & {
    on<Name extends keyof SessionStoreEvents>(event: Name, listener: (...event: SessionStoreEvents[Name]) => void): Store
  }
  const work: import('knex-session-store/unit-of-work').UnitOfWork
  const log: { info(fields: object, message: string): void }
  const fastify: FastifyInstance
  const fastifyCookie: typeof import('@fastify/cookie').default
  const fastifySession: typeof import('@fastify/session').default
  const order: { total: number }
  const oldStore: import('express-session').Store
  const ConnectSessionKnexStore: typeof import('connect-session-knex').ConnectSessionKnexStore
  const req: import('express').Request
  const beforeEach: (work: () => unknown) => void
  const it: (title: string, work: () => Promise<void>) => void
  const expect: (value: unknown) => { toEqual(expected: unknown): void }
  const makeApp: (knex: Knex) => Express
  const signIn: (app: Express, name: string) => Promise<void>
}
`

function blocksOf(guide: string): Block[] {
  const text = readFileSync(join(ROOT, guide), 'utf8')
  const blocks: Block[] = []
  for (const match of text.matchAll(/^ *```(\S.*?)\n(.*?)^ *```$/gms)) {
    const [, language = '', code = ''] = match
    if (['sh', 'sql', 'diff'].includes(language)) continue
    if (language !== 'js' && language !== 'ts') throw new Error(`${guide}: is a block of "${language}" an example to check?`)
    const line = text.slice(0, match.index).split('\n').length + 1
    blocks.push({ place: `${guide}:${line}`, guide, language, line, code })
  }
  return blocks
}

/** The examples of the doc comments in a file. */
function examplesOf(file: string): Block[] {
  const text = readFileSync(join(ROOT, file), 'utf8')
  const blocks: Block[] = []
  for (const match of text.matchAll(/^ *\* @example\n(.*?)(?=^ *\* @|^ *\*\/)/gms)) {
    const code = (match[1] ?? '').replace(/^ *\* ?/gm, '').replace(/^```\w*$/gm, '')
    const line = text.slice(0, match.index).split('\n').length + 1
    blocks.push({ place: `${file}:${line}`, guide: file, language: 'ts', line, code })
  }
  return blocks
}

/** Each block as an ES module in memory, at the line that it has in its guide. */
function typeCheck(blocks: readonly Block[]): Map<Block, string[]> {
  const config = ts.readConfigFile(join(ROOT, 'tsconfig.json'), ts.sys.readFile).config
  const options: ts.CompilerOptions = {
    ...ts.parseJsonConfigFileContent({ ...config, files: [], include: [] }, ts.sys, ROOT).options,
    allowJs: true,
    checkJs: true,
    // An example in JavaScript says no types, declares what the reader goes on with, and takes the row that it has just inserted.
    noImplicitAny: false,
    noUnusedLocals: false,
    noUnusedParameters: false,
    noUncheckedIndexedAccess: false
  }
  const assumed = join(ROOT, 'spec/docs-assumed.mts')
  const files = new Map(blocks.map((block) => [join(ROOT, `${block.guide}.${block.line}.m${block.language}`), block]))
  const sources = new Map([[assumed, ASSUMED]])
  for (const [file, { line, code }] of files) sources.set(file, '\n'.repeat(line - 1) + code)

  const host = ts.createCompilerHost(options)
  const { fileExists, getSourceFile, readFile } = host
  host.fileExists = (file) => sources.has(file) || fileExists(file)
  host.readFile = (file) => sources.get(file) ?? readFile(file)
  host.getSourceFile = (file, version, ...rest) => {
    const source = sources.get(file)
    return source === undefined ? getSourceFile(file, version, ...rest) : ts.createSourceFile(file, source, version)
  }
  const program = ts.createProgram([...sources.keys()], options, host)
  const mistakesOf = (file: string, name: string) => {
    const source = program.getSourceFile(file)
    const diagnostics = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]
    return diagnostics.map(({ start = 0, code, messageText }) => {
      const line = (source?.getLineAndCharacterOfPosition(start).line ?? 0) + 1
      return `${name}:${line} TS${code}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`
    })
  }
  const unsound = [...mistakesOf(assumed, 'ASSUMED'), ...program.getGlobalDiagnostics().map(({ messageText }) => String(messageText))]
  if (unsound.length > 0) throw new Error(unsound.join('\n'))
  return new Map([...files].map(([file, block]) => [block, mistakesOf(file, block.guide)]))
}

/** As a reader's shell has it: nothing of the run of the specs. */
function environment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(VITEST|NODE_OPTIONS$|NODE_ENV$)/.test(name))
  return Object.fromEntries(kept)
}

async function firstLine(child: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) return line
  throw new Error('the example ended without a word')
}
