import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, it } from 'vitest'

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

it('the example of the unit of work keeps the rows of a success and none of a failure', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['examples/unit-of-work/app.mjs'])
  expect(stdout.trim().split('\n').at(-1)).toBe('/ [{"name":"ada"}]')
})

async function start(): Promise<{ app: ChildProcess; address: string }> {
  const app = spawn(process.execPath, ['examples/express/app.mjs'], {
    env: { ...process.env, PORT: '0', SESSIONS_FILE: join(folder, 'sessions.sqlite') },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  running.add(app)
  for await (const line of createInterface({ input: app.stdout as NodeJS.ReadableStream })) {
    const address = /http:\/\/[\d.:]+/.exec(line)?.[0]
    if (address !== undefined) return { app, address }
  }
  throw new Error('the example ended without an address')
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
