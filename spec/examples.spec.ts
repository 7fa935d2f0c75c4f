import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import createKnex from 'knex'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

const EXAMPLES = resolve(__dirname, '../examples')
const FROM_THIS_CLONE = ['--import', './examples/from-this-clone.mjs']
/** The demo is no recipe: it shows the store, and runs in this clone alone. */
const RECIPES = readdirSync(EXAMPLES, { withFileTypes: true }).flatMap((entry) =>
  entry.isDirectory() && entry.name !== 'demo' ? [entry.name] : []
)

let folder: string
const running = new Set<ChildProcess>()

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sessions-example-'))
})

afterEach(async () => {
  for (const app of running) await stop(app)
  await rm(folder, { recursive: true, force: true })
})

it('the example application keeps a visitor signed in over a restart, and out after logging out', async () => {
  let site = await start()
  const registered = await fetch(`${site.address}/register`, {
    method: 'POST',
    body: new URLSearchParams({ name: 'Ada' }),
    redirect: 'manual'
  })
  expect(registered.status).toBe(303)
  const cookie = (registered.headers.getSetCookie()[0] as string).split(';')[0] as string
  expect(await visit(site.address, cookie)).toBe('Hello Ada, visit number 1.\n')
  expect(await visit(site.address, cookie)).toBe('Hello Ada, visit number 2.\n')

  await stop(site.app)
  site = await start()
  expect(await visit(site.address, cookie)).toBe('Hello Ada, visit number 3.\n')

  await fetch(`${site.address}/logout`, { method: 'POST', headers: { cookie }, redirect: 'manual' })
  expect(await visit(site.address, cookie)).toBe('Nobody is signed in.\n')
})

it('the example application asks for a name, and shows names as text', async () => {
  const { address } = await start()
  expect((await fetch(`${address}/register`, { method: 'POST' })).status).toBe(400)
  const registered = await fetch(`${address}/register`, {
    method: 'POST',
    body: new URLSearchParams({ name: '<b>&' }),
    redirect: 'manual'
  })
  const cookie = (registered.headers.getSetCookie()[0] as string).split(';')[0] as string
  const html = await (await fetch(address, { headers: { cookie, accept: 'text/html' } })).text()
  expect(html).toContain('Hello &#60;b&#62;&#38;')
})

it('the example application refuses a name that the column of the owner does not hold', async () => {
  const { address } = await start()
  const registered = await fetch(`${address}/register`, { method: 'POST', body: new URLSearchParams({ name: 'a'.repeat(256) }) })
  expect(registered.status).toBe(400)
  expect((await fetch(`${address}/favicon.ico`)).status).toBe(204)
})

it('the example application logs that a session cannot be saved, and goes on', async () => {
  const { address, printed } = await start()
  const registered = await fetch(`${address}/register`, {
    method: 'POST',
    body: new URLSearchParams({ name: 'Ada' }),
    redirect: 'manual'
  })
  const cookie = (registered.headers.getSetCookie()[0] as string).split(';')[0] as string
  const knex = createKnex({
    client: 'better-sqlite3',
    connection: { filename: join(folder, 'sessions.sqlite') },
    useNullAsDefault: true
  })
  await knex.raw("CREATE TRIGGER full BEFORE UPDATE ON sessions BEGIN SELECT RAISE(ABORT, 'full'); END")
  // Whether the response has arrived before the connection is closed depends on the moment.
  await visit(address, cookie).catch(() => undefined)
  await knex.raw('DROP TRIGGER full')
  await knex.destroy()
  expect(await visit(address, cookie)).toBe('Hello Ada, visit number 1.\n')
  expect(printed()).toContain('SQLITE_CONSTRAINT_TRIGGER')
  expect(printed()).not.toContain('ERR_HTTP_HEADERS_SENT')
})

it('the example of the unit of work keeps the rows of a success and none of a failure', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [...FROM_THIS_CLONE, 'examples/unit-of-work/app.mjs'])
  expect(stdout.trim().split('\n').at(-1)).toBe('/ [{"name":"ada"}]')
})

describe.each(RECIPES)('the recipe %s', (recipe) => {
  const folder = join(EXAMPLES, recipe)

  it('can be copied: it has its own dependencies, a README and a smoke run, and is in the table of the recipes', async () => {
    const { version } = JSON.parse(await readFile(resolve(EXAMPLES, '../package.json'), 'utf8'))
    const manifest = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'))
    expect(manifest).toMatchObject({ name: `recipe-${recipe}`, private: true, dependencies: { 'knex-session-store': `^${version}` } })
    for (const range of Object.values({ ...manifest.dependencies, ...manifest.devDependencies }))
      expect(range).toMatch(/^\^\d+\.\d+\.\d+(-rc\.\d+)?( \|\| \^\d+\.\d+\.\d+)*$/)
    for (const file of ['README.md', 'smoke.mjs']) expect(existsSync(join(folder, file))).toBe(true)
    expect(await readFile(join(EXAMPLES, 'README.md'), 'utf8')).toContain(`](${recipe})`)
  })

  it('has the same site.mjs as all others, if it has one', async () => {
    const file = join(folder, 'site.mjs')
    if (existsSync(file)) expect(await readFile(file, 'utf8')).toBe(await readFile(join(EXAMPLES, 'express/site.mjs'), 'utf8'))
  })
})

it('the recipe koa has the adapter of docs/clients.md', async () => {
  const code = (text: string) => text.slice(text.indexOf('export const forKoa')).split('\n})')[0]
  const guide = await readFile(resolve(EXAMPLES, '../docs/clients.md'), 'utf8')
  expect(code(await readFile(join(EXAMPLES, 'koa/for-koa.mjs'), 'utf8'))).toBe(code(guide))
})

async function start(): Promise<{ app: ChildProcess; address: string; printed: () => string }> {
  const app = spawn(process.execPath, [...FROM_THIS_CLONE, 'examples/express/app.mjs'], {
    // Express logs no errors in the NODE_ENV of the specs.
    env: { ...process.env, NODE_ENV: 'development', PORT: '0', SESSIONS_FILE: join(folder, 'sessions.sqlite') },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  running.add(app)
  let errors = ''
  app.stderr?.on('data', (text) => {
    errors += text
  })
  for await (const line of createInterface({ input: app.stdout as NodeJS.ReadableStream })) {
    const address = /http:\/\/[\d.:]+/.exec(line)?.[0]
    if (address !== undefined) return { app, address, printed: () => errors }
  }
  throw new Error(`the example ended without an address: ${errors}`)
}

/** As a person does with Ctrl-C: the process must end by itself. */
async function stop(app: ChildProcess): Promise<void> {
  running.delete(app)
  if (app.exitCode !== null) return
  app.kill('SIGINT')
  await once(app, 'exit')
  expect(app.exitCode).toBe(0)
}

async function visit(address: string, cookie: string): Promise<string> {
  return (await fetch(address, { headers: { cookie, accept: 'text/plain' } })).text()
}
