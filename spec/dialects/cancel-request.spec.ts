import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import createKnex, { type Knex } from 'knex'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { TimeoutError } from '../../lib'
import { PostgresDialect } from '../../lib/dialects/postgres/postgres-dialect'
import { Database } from '../../lib/knex/database'
import { describeDatabase } from '../support/databases'
import type { LocalServer } from '../support/local-server'
import { startPostgres } from '../support/postgres-server'

const { ending } = new PostgresDialect({ prepare: true, durability: 'sets' })

describeDatabase('postgres', 'a statement whose time is up', () => {
  let server: LocalServer
  beforeAll(async () => {
    server = await startPostgres()
    const knex = createKnex({ client: 'pg', connection: server.url })
    // The server makes its own certificate: the file must be its own.
    await knex.raw(
      "COPY (SELECT 1) TO PROGRAM 'umask 077; openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout server.key -out server.crt'"
    )
    await knex.raw("ALTER SYSTEM SET ssl = 'on'")
    await knex.raw('SELECT pg_reload_conf()')
    await knex.destroy()
  })
  afterAll(() => server.stop())

  /** What became of a statement that takes too long, and whether the connection was kept. */
  async function outcomeOn(connection: Knex.PgConnectionConfig, pool: Knex.PoolConfig = {}) {
    const knex = createKnex({ client: 'pg', connection, pool: { min: 0, max: 1, ...pool } })
    try {
      const db = Database.of(knex, 2000, { ending })
      const processId = async () =>
        (await knex.raw('SELECT pg_backend_pid() AS id, (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid())')).rows[0]
      const before = await processId()
      const outcome = await db.run('SELECT pg_sleep(20)').then(
        () => undefined,
        (caught: TimeoutError) => caught.outcome
      )
      const after = await processId()
      const { rows } = await knex.raw("SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'")
      return { outcome, isKept: before.id === after.id, isEncrypted: after.ssl, stillRuns: rows.length }
    } finally {
      await knex.destroy()
    }
  }

  const to = () => {
    const { hostname, port } = new URL(server.url)
    return { host: hostname, port: Number(port), user: 'postgres', database: 'postgres' }
  }

  it('is ended on the server, by a connection to the same address', async () => {
    expect(await outcomeOn(to())).toEqual({ outcome: 'not-written', isKept: true, isEncrypted: false, stillRuns: 0 })
  })

  it('is ended over TLS where the connection is so', async () => {
    expect(await outcomeOn({ ...to(), ssl: { rejectUnauthorized: false } })).toEqual({
      outcome: 'not-written',
      isKept: true,
      isEncrypted: true,
      stillRuns: 0
    })
  })

  it('is ended over a socket of the file system', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'knex-session-store-socket-'))
    const { host, port } = to()
    const relay = createServer((socket) => {
      const upstream = connect({ host, port })
      socket.pipe(upstream).pipe(socket)
      for (const end of [socket, upstream]) end.on('error', () => undefined)
    }).listen(join(folder, `.s.PGSQL.${port}`))
    await once(relay, 'listening')
    try {
      expect(await outcomeOn({ ...to(), host: folder })).toEqual({
        outcome: 'not-written',
        isKept: true,
        isEncrypted: false,
        stillRuns: 0
      })
    } finally {
      relay.close()
      await rm(folder, { recursive: true })
    }
  })

  it('is never ended where the driver has several under way: the wrong one could be hit; the connection goes', async () => {
    const afterCreate = (connection: object, done: (error: null, connection: object) => void) => {
      Object.defineProperty(connection, 'pipeline', { value: true, configurable: true })
      done(null, connection)
    }
    expect(await outcomeOn(to(), { afterCreate })).toMatchObject({ outcome: 'unknown', isKept: false })
  })
})
