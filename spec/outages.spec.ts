import { createHmac } from 'node:crypto'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import express from 'express'
import session, { type SessionData } from 'express-session'
import createKnex, { type Knex } from 'knex'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { KnexSessionStore, SessionStoreError } from '../lib'
import { describeDatabase } from './support/databases'
import { serve, Visitor } from './support/http'
import { checkLeaksPerFile } from './support/leaks'
import type { LocalServer } from './support/local-server'
import { PATIENT } from './support/patience'
import { startPostgres } from './support/postgres-server'
import { describeStores, handMade, openStore, shareDatabase } from './support/stores'

// A connection that was given up in a freeze comes back to its pool when the server answers, which may be after the spec.
checkLeaksPerFile()

const SECRET = 'the marker in the data'
const SESSION_ID = 'the marker in the id'
/** Enough to make a table on a busy machine. */
const TIMEOUT_MS = 1500
/** For a busy machine. A server that is frozen never answers. */
const LATE_MS = 8000

/** Every method, as an application calls it. */
function callsOf(store: KnexSessionStore, loaded: SessionData): Record<string, () => Promise<unknown>> {
  return {
    get: () => store.get(SESSION_ID),
    'set of a new session': () => store.set(`${SESSION_ID} 2`, handMade({ secret: SECRET })),
    'set of a loaded session': () => store.set(SESSION_ID, Object.assign(loaded, { changed: Math.random() })),
    touch: () => store.touch(SESSION_ID, handMade({ secret: SECRET })),
    destroy: () => store.destroy(`${SESSION_ID} 3`),
    all: () => store.all(),
    ids: () => store.ids(),
    length: () => store.length(),
    clear: () => store.clear(),
    prune: () => store.prune(),
    ready: () =>
      new KnexSessionStore({
        knex: Reflect.get(store, 'options').knex,
        tableName: 'never_made',
        timeoutMs: TIMEOUT_MS,
        pruneIntervalMs: false
      }).ready()
  }
}

interface Outcome {
  readonly ms: number
  readonly error: unknown
}

async function outcomesOf(calls: Record<string, () => Promise<unknown>>): Promise<Record<string, Outcome>> {
  const outcomes = Object.entries(calls).map(async ([name, call]) => {
    const begin = performance.now()
    const error = await call().then(
      () => undefined,
      (caught) => caught
    )
    return [name, { ms: performance.now() - begin, error }] as const
  })
  return Object.fromEntries(await Promise.all(outcomes))
}

/** Everything a person or a log sees of an error. */
const textOf = (error: Error) => [error.message, error.stack, JSON.stringify(error), JSON.stringify(error.cause), String(error)].join('\n')

function expectErrorOfOurs(name: string, error: unknown): void {
  expect(error, name).toBeInstanceOf(SessionStoreError)
  expect(textOf(error as Error), name).not.toMatch(/marker/)
  expect((error as { code?: string }).code, name).toMatch(/^ERR_SESSION_/)
}

describeDatabase('postgres', 'a server that is frozen', () => {
  let server: LocalServer
  let knex: Knex
  beforeAll(async () => {
    server = await startPostgres()
    knex = createKnex({ client: 'pg', connection: server.url, pool: { min: 0, max: 6 } })
  })
  afterAll(async () => {
    await signal('SIGCONT')
    await knex.destroy()
    await server.stop()
  })

  let processes: number[] = []
  /** To the server and all its connections' processes. */
  async function signal(name: 'SIGSTOP' | 'SIGCONT'): Promise<void> {
    if (name === 'SIGSTOP') processes = await processesOf(server.url)
    for (const pid of processes) {
      try {
        process.kill(pid, name)
      } catch (error) {
        // A connection that has been closed meanwhile.
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
      }
    }
  }

  it('is answered for by every method within timeoutMs, and works again when it does, with no restart', async () => {
    const unhandled = vi.fn()
    process.on('unhandledRejection', unhandled)
    const told = vi.fn()
    const store = new KnexSessionStore({ knex, timeoutMs: TIMEOUT_MS, pruneIntervalMs: false, onError: told })
    // With more time for making the table.
    await new KnexSessionStore({ knex, pruneIntervalMs: false }).set(SESSION_ID, handMade({ secret: SECRET }))
    const loaded = (await store.get(SESSION_ID)) as SessionData
    const calls = callsOf(store, loaded)

    await signal('SIGSTOP')
    try {
      for (let round = 0; round < 2; round++) {
        for (const [name, { ms, error }] of Object.entries(await outcomesOf(calls))) {
          expectErrorOfOurs(name, error)
          expect(error, name).toMatchObject({ code: 'ERR_SESSION_TIMEOUT' })
          expect(ms, name).toBeLessThan(TIMEOUT_MS + LATE_MS)
        }
      }
      expect(await store.health()).toMatchObject({ ok: false, error: { code: 'ERR_SESSION_TIMEOUT' } })
      const closing = new KnexSessionStore({ knex, timeoutMs: TIMEOUT_MS, pruneIntervalMs: false })
      closing.get('id').catch(() => undefined)
      const begin = performance.now()
      await closing.close()
      expect(performance.now() - begin).toBeLessThan(TIMEOUT_MS + LATE_MS)
    } finally {
      await signal('SIGCONT')
    }

    await vi.waitUntil(async () => (await store.health()).ok, PATIENT)
    expect(await store.get(`${SESSION_ID} 4`)).toBeNull()
    await store.set(`${SESSION_ID} 4`, handMade({ user: 'ada' }))
    expect(await store.get(`${SESSION_ID} 4`)).toMatchObject({ user: 'ada' })
    const outcomes = await outcomesOf({ length: () => store.length(), clear: () => store.clear(), prune: () => store.prune() })
    expect(Object.values(outcomes).map(({ error }) => error)).toEqual([undefined, undefined, undefined])
    process.off('unhandledRejection', unhandled)
    expect(unhandled).not.toHaveBeenCalled()
  })

  it('that was there when the store was made first is no different', async () => {
    const late = createKnex({ client: 'pg', connection: server.url, pool: { min: 0, max: 2 } })
    const store = new KnexSessionStore({ knex: late, tableName: 'made_late', timeoutMs: TIMEOUT_MS, pruneIntervalMs: false })
    await signal('SIGSTOP')
    try {
      await expect(store.get('id')).rejects.toMatchObject({ code: 'ERR_SESSION_TIMEOUT' })
    } finally {
      await signal('SIGCONT')
    }
    await vi.waitUntil(async () => (await store.health()).ok, PATIENT)
    await store.set('id', handMade({ user: 'ada' }))
    expect(await store.get('id')).toMatchObject({ user: 'ada' })
    await late.destroy()
  })
})

describeDatabase('postgres', 'connections that are killed under load', (kind) => {
  it('cost nobody a session and no process its life', async () => {
    await using opened = await openStore(kind, { timeoutMs: 5000 })
    const { store, knex } = opened
    const admin = opened.database.connect({ pool: { min: 0, max: 1 } })
    const ids = Array.from({ length: 30 }, (_, number) => `id ${number}`)
    await Promise.all(ids.map((id) => store.set(id, handMade({ views: 0 }))))
    const outcomes: unknown[] = []
    let isOver = false
    const load = ids.map(async (id) => {
      while (!isOver) {
        await store
          .get(id)
          .then((found) => store.set(id, Object.assign(found as SessionData, { views: Math.random() })))
          .catch((error) => outcomes.push(error))
      }
    })
    for (let round = 0; round < 10; round++) {
      await admin.raw(
        'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()'
      )
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    isOver = true
    await Promise.all(load)
    // Most are tried again and not seen at all.
    for (const error of outcomes) expectErrorOfOurs('load', error)
    expect(await Promise.all(ids.map((id) => store.get(id)))).toEqual(ids.map(() => expect.objectContaining({ views: expect.any(Number) })))
    await knex.raw('SELECT 1')
  })
})

describe('a server that is not there', () => {
  const missingSocket = join(tmpdir(), 'no-such-folder-of-sockets')
  const refused = async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const { port } = server.address() as { port: number }
    await new Promise((resolve) => server.close(resolve))
    return { host: '127.0.0.1', port }
  }

  it.each([
    ['a port on which nobody listens', 'ECONNREFUSED', refused],
    ['a socket file that is missing', 'ENOENT', async () => ({ host: missingSocket })]
  ])('is an error of its own for every method: %s', async (_what, driverCode, connection) => {
    const knex = createKnex({
      client: 'pg',
      connection: { ...(await connection()), user: 'marker', password: 'marker' },
      pool: { min: 0, max: 2 }
    })
    const store = new KnexSessionStore({ knex, timeoutMs: 3000, pruneIntervalMs: false })
    for (const [name, { error }] of Object.entries(await outcomesOf(callsOf(store, handMade())))) {
      expectErrorOfOurs(name, error)
      expect(error, name).toMatchObject({ code: 'ERR_SESSION_DATABASE_UNREACHABLE', driverCode, dialect: 'postgresql' })
    }
    await knex.destroy()
  })

  it('logs nobody out, not even where the socket file is missing, which express-session takes for a missing session', async () => {
    const knex = createKnex({ client: 'pg', connection: { host: missingSocket, user: 'x' }, pool: { min: 0, max: 2 } })
    const store = new KnexSessionStore({ knex, timeoutMs: 3000, pruneIntervalMs: false })
    const app = express()
    app.use(session({ store, secret: 'secret', resave: false, saveUninitialized: true }))
    app.get('/', (_request, response) => {
      response.send('a page')
    })
    app.use(((error: { code?: string }, _request, response, _next) => {
      response.status(500).send(error.code)
    }) satisfies express.ErrorRequestHandler)
    await using site = await serve(app)
    const visitor = new Visitor(site.url)
    visitor.cookies.set('connect.sid', signed('the id'))
    const response = await visitor.get('/')
    expect({ status: response.status, body: await response.text(), cookie: response.headers.get('set-cookie') }).toEqual({
      status: 500,
      body: 'ERR_SESSION_DATABASE_UNREACHABLE',
      cookie: null
    })
    await knex.destroy()
  })
})

describeStores('an error of the database', (kind) => {
  const database = shareDatabase(kind)

  it('shows neither ids nor data, whatever the statement was', async () => {
    await using opened = await openStore(database(), { storedId: 'plain', pruneBatchSize: 1 })
    const { store, knex, tableName } = opened
    await store.set(SESSION_ID, handMade({ secret: SECRET }))
    const loaded = (await store.get(SESSION_ID)) as SessionData
    // Still a sessions table, for it has all columns, but nothing can be done with them.
    await knex.schema.dropTable(tableName)
    const broken = { sqlite: 'abs(-9223372036854775808)', mysql: '(SELECT 1 UNION ALL SELECT 2)', postgres: '1/0', cockroach: '1/0' }[
      kind.name
    ]
    const columns = ['id', 'data', 'expires_at', 'expires_hour', 'revision', 'owner_id', 'created_at', 'last_seen_at']
    await knex.raw(`CREATE VIEW ${tableName} AS SELECT ${columns.map((column) => `${broken} AS ${column}`).join(', ')}`)
    const calls = callsOf(store, loaded)
    delete calls.ready
    for (const [name, { error }] of Object.entries(await outcomesOf(calls))) expectErrorOfOurs(name, error)
  })
})

/** The cookie of a session id, as express-session signs it. */
function signed(id: string): string {
  const signature = createHmac('sha256', 'secret').update(id).digest('base64').replace(/=+$/, '')
  return encodeURIComponent(`s:${id}.${signature}`)
}

/** The server's process and those of its connections. */
async function processesOf(url: string): Promise<number[]> {
  const knex = createKnex({ client: 'pg', connection: url, pool: { min: 0, max: 1 } })
  const { rows } = await knex.raw(
    "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int AS pid UNION SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
  )
  await knex.destroy()
  return rows.map(({ pid }: { pid: number }) => pid)
}
