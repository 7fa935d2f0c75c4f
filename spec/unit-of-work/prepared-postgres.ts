import { randomBytes } from 'node:crypto'
import { dirname, join } from 'node:path'
import knexFactory, { type Knex } from 'knex'
import { inject } from 'vitest'
import { type LocalServer, startLocalServer } from '../support/local-server'

/** A PostgreSQL that keeps so many prepared transactions, and an empty database there. */
export interface PreparedPostgres extends AsyncDisposable {
  readonly config: Knex.Config
  readonly knex: Knex
}

/**
 * The server of the specs if it is set like that, else one that is started for it: the setting is read at the start of a server alone.
 * Undefined where that cannot be, because the server of the specs runs on another machine.
 */
export async function openPostgresThatPrepares(max: number): Promise<PreparedPostgres | undefined> {
  const availability = inject('postgres')
  if ('missing' in availability) return undefined
  await using shared = closing(knexFactory({ client: 'pg', connection: availability.url, pool: { min: 0, max: 1 } }))
  const { rows } = await shared.knex.raw("SELECT current_setting('max_prepared_transactions')::int AS max")
  if (rows[0].max > 0 === max > 0) return database(availability.url)
  const bin = await binariesOf(shared.knex)
  if (bin === undefined) return undefined
  const server = await start(bin, max)
  return database(server.url, server)
}

async function database(serverUrl: string, server?: LocalServer): Promise<PreparedPostgres> {
  const admin = knexFactory({ client: 'pg', connection: serverUrl, pool: { min: 0, max: 1 } })
  const name = `kss_prepared_${randomBytes(6).toString('hex')}`
  await admin.raw('CREATE DATABASE ??', [name])
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  const config: Knex.Config = { client: 'pg', connection: url.href, pool: { min: 0, max: 4 } }
  const knex = knexFactory(config)
  return {
    config,
    knex,
    async [Symbol.asyncDispose]() {
      await knex.destroy()
      // What a failed spec has left prepared keeps the database from being dropped.
      const inside = knexFactory({ ...config, pool: { min: 0, max: 1 } })
      const { rows } = await inside.raw('SELECT gid FROM pg_prepared_xacts WHERE database = current_database()')
      for (const { gid } of rows) await inside.raw(`ROLLBACK PREPARED '${gid}'`)
      await inside.destroy()
      await admin.raw('DROP DATABASE ?? WITH (FORCE)', [name])
      await admin.destroy()
      await server?.stop()
    }
  }
}

/** Where the running server's own program is, if it is here. */
async function binariesOf(knex: Knex): Promise<string | undefined> {
  const { rows } = await knex.raw("SELECT pg_read_file('postmaster.opts') AS command").catch(() => ({ rows: [] }))
  const [program] = String(rows[0]?.command ?? '').split(' ')
  return program ? dirname(program) : undefined
}

function start(bin: string, max: number): Promise<LocalServer> {
  return startLocalServer({
    name: 'postgres-prepared',
    accounts: ['postgres', 'node', 'nobody'],
    initialise: (dataDirectory, run) =>
      run(join(bin, 'initdb'), ['-D', dataDirectory, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync']),
    command: (dataDirectory, port) => [
      join(bin, 'postgres'),
      ...['-D', dataDirectory, '-p', String(port)],
      ...['listen_addresses=127.0.0.1', 'unix_socket_directories=', 'fsync=off', 'log_min_messages=fatal'].flatMap((setting) => [
        '-c',
        setting
      ]),
      ...['-c', `max_prepared_transactions=${max}`]
    ],
    async connect(port) {
      const url = `postgres://postgres@127.0.0.1:${port}/postgres`
      await using server = closing(knexFactory({ client: 'pg', connection: url, pool: { min: 0, max: 1 }, log: { warn() {}, error() {} } }))
      await server.knex.raw('SELECT 1')
      return url
    }
  })
}

function closing(knex: Knex): AsyncDisposable & { knex: Knex } {
  return { knex, [Symbol.asyncDispose]: () => knex.destroy() }
}
