import { tracingChannel } from 'node:diagnostics_channel'
import { inspect } from 'node:util'
import createKnex, { type Knex } from 'knex'
import { createSessionsTable, encrypted, KnexSessionStore, type KnexSessionStoreOptions } from 'knex-session-store'
import type { Worker } from './support/processes.ts'

export interface Audit {
  readonly config: Knex.Config
  /** Found by no one in what comes out, if all is well: in ids, in data, as keys, in passwords. */
  readonly marker: string
}

export interface AuditResult {
  /** All that was said, as deep as one can look. */
  readonly seen: readonly string[]
  /** Codes of the errors that came about. */
  readonly codes: readonly string[]
}

export default (async ({ config, marker }) => {
  const seen: string[] = []
  const codes = new Set<string>()
  const look = (value: unknown) => {
    seen.push(inspect(value, { depth: 10, showHidden: true, maxStringLength: null, maxArrayLength: null }), `${JSON.stringify(value)}`)
    if (value instanceof Error) {
      seen.push(String(value.stack), String(value), JSON.stringify(value, Object.getOwnPropertyNames(value)))
      codes.add((value as { code?: string }).code ?? 'without a code')
      if (value.cause !== undefined) look(value.cause)
    }
  }
  for (const name of ['operation', 'statement']) {
    const channel = tracingChannel(`knex-session-store:${name}`)
    channel.subscribe({ start: look, end: look, asyncStart: look, asyncEnd: look, error: look })
  }
  process.on('warning', look)

  const stores: KnexSessionStore[] = []
  const instances: Knex[] = []
  const connect = (more: Knex.Config = {}) => {
    const knex = createKnex({ ...config, ...more })
    instances.push(knex)
    return knex
  }
  const knex = connect()
  const open = (options: Partial<KnexSessionStoreOptions> = {}) => {
    const store = new KnexSessionStore({ knex, pruneIntervalMs: false, onError: look, touchAfterMs: 0, timeoutMs: 5000, ...options })
    for (const event of ['conflict', 'dropped', 'unreadable'] as const) store.on(event, look)
    stores.push(store)
    return store
  }
  const attempt = async (work: () => unknown) => {
    try {
      await work()
    } catch (error) {
      look(error)
    }
  }
  const session = (data: object = {}) => ({ cookie: { originalMaxAge: null }, marker, ...data }) as never
  const everything = async (store: KnexSessionStore, id = marker) => {
    await attempt(() => store.set(id, session()))
    await attempt(() => store.get(id))
    await attempt(() => store.touch(id, session()))
    await attempt(() => store.length())
    await attempt(() => store.all())
    await attempt(() => store.ids())
    await attempt(() => new Promise<void>((resolve, reject) => store.get(id, (error) => (error ? reject(error) : resolve()))))
    await attempt(() => store.destroy(id))
    await attempt(() => store.prune())
    await attempt(() => store.clear())
    look(await store.health())
    look(store.stats())
  }
  const throwing = () => {
    throw new Error(marker)
  }

  // All is well.
  for (const storedId of ['hashed', 'plain'] as const) await everything(open({ storedId }))
  await everything(open({ batch: false, upgradePlainIds: true }))
  await everything(open({ codec: encrypted({ keys: [marker.padEnd(32)] }) }))

  // What the application gives is not to be had.
  const store = open({ storedId: 'plain', owner: () => marker })
  for (const data of [{ amount: 1n }, { toJSON: throwing }, { deep: { toJSON: throwing } }])
    await attempt(() => store.set(marker, session(data)))
  const circular = { marker, self: undefined as unknown }
  circular.self = circular
  await attempt(() => store.set(marker, circular as never))
  await attempt(() => store.set(marker, session(circular)))
  await attempt(() => store.set(marker, marker as never))
  await attempt(() => store.set({ marker } as never, session()))
  for (const id of [marker.repeat(20), `${marker}\0`, `${marker}\ud800`]) await attempt(() => store.set(id, session()))
  await attempt(() => open({ owner: () => marker.repeat(20) }).set(marker, session()))
  await attempt(() => open({ maxDataBytes: 10 }).set(marker, session()))
  await attempt(() => open({ codec: { encode: throwing, decode: throwing } }).set(marker, session()))
  for (const codec of [{ encode: () => `${marker}\0` }, { encode: async () => Promise.reject(marker) }, { encode: () => '' }]) {
    await attempt(() => open({ codec: { ...codec, decode: throwing } }).set(marker, session()))
  }
  for (const options of [
    { keys: marker },
    { keys: [marker.slice(0, 20)] },
    { keys: [{ marker }] },
    marker,
    { acceptPlain: marker, keys: [marker] }
  ]) {
    await attempt(() => encrypted(options as never))
  }
  await attempt(() => open({ knex: `postgres://user:${marker}@host/db` as never }))

  // Rows that are none.
  const unreadable = { storedId: 'plain', unreadable: 'error' } as const
  await attempt(() => store.set(marker, session()))
  const good = { encode: () => marker, decode: () => ({ cookie: {} }) }
  const codecs = [
    { ...good, decode: throwing },
    { ...good, comparable: throwing },
    { ...good, rewrite: throwing },
    encrypted({ keys: [marker.padEnd(32)] })
  ]
  for (const codec of codecs) {
    await attempt(() => open({ ...unreadable, codec }).get(marker))
    await attempt(() => open({ storedId: 'plain', codec }).get(marker))
  }
  for (const data of [marker, `{"${marker}":`, 'null', `e1.abcdefgh.${marker}`]) {
    await knex('sessions').update({ data })
    await attempt(() => open(unreadable).get(marker))
    await attempt(() => open(unreadable).all())
    await attempt(() => store.get(marker))
  }

  // Conflicts, and sessions that are gone. The name of a key is told, its value is not.
  for (const conflict of ['merge', 'overwrite', 'error'] as const) {
    const one = open({ conflict })
    await attempt(() => one.set(marker, session()))
    const [first, second, third] = [await one.get(marker), await one.get(marker), await one.get(marker)] as [object, object, object]
    await attempt(() => one.set(marker, Object.assign(first, { a: `${marker}1` }) as never))
    await attempt(() => one.set(marker, Object.assign(second, { a: `${marker}2` }) as never))
    await attempt(() => one.destroy(marker))
    await attempt(() => one.set(marker, Object.assign(third, { a: 3 }) as never))
  }

  // The database refuses.
  await knex('sessions').del()
  await knex.schema.alterTable('sessions', (table) => table.unique(['owner_id'], { indexName: 'one_each' }))
  await attempt(() => store.set(marker, session()))
  await attempt(() => store.set(`${marker}2`, session()))
  await attempt(() => Promise.all(['3', '4', '5'].map((suffix) => store.set(marker + suffix, session()))))
  await attempt(() => knex.transaction((trx) => store.withTransaction(trx).set(`${marker}6`, session())))
  await knex.schema.alterTable('sessions', (table) => table.dropUnique(['owner_id'], 'one_each'))
  // The server names the row that it refuses.
  await knex('sessions').del()
  const isSqlite = knex.client.dialect === 'sqlite3'
  await knex.raw(`ALTER TABLE sessions ADD ${isSqlite ? 'COLUMN' : 'CONSTRAINT'} refusal ${isSqlite ? 'integer' : ''} CHECK (revision < 0)`)
  await attempt(() => store.set(marker, session()))
  await attempt(() => knex.transaction((trx) => store.withTransaction(trx).set(`${marker}7`, session())))
  await knex.raw(`ALTER TABLE sessions DROP ${isSqlite ? 'COLUMN' : 'CONSTRAINT'} refusal`)
  await knex.schema.alterTable('sessions', (table) => table.renameColumn('data', 'no_data'))
  await everything(store)
  await attempt(() => createSessionsTable(knex))
  await attempt(() => open({ columns: { data: 'other' } }))
  await knex.schema.alterTable('sessions', (table) => table.renameColumn('no_data', 'data'))
  await everything(open({ tableName: 'no_sessions', createTable: false }))

  // It cannot be reached, or does not answer.
  const { acquireConnection } = knex.client
  knex.client.acquireConnection = () => new Promise(() => undefined)
  await everything(open({ timeoutMs: 30, storedId: 'plain' }))
  knex.client.acquireConnection = acquireConnection
  const small = connect({ pool: { min: 0, max: 1 }, acquireConnectionTimeout: 1000 })
  const held = await small.transaction()
  await attempt(() => open({ knex: small, storedId: 'plain' }).set(marker, session()))
  await held.rollback()
  const nowhere = connect({
    connection: { host: '127.0.0.1', port: 1, user: marker, password: marker, filename: `/no/such/${marker}` } as never
  })
  await everything(open({ knex: nowhere, storedId: 'plain', timeoutMs: 300 }))

  await Promise.all(stores.map((open) => open.close()))
  await everything(store)
  await Promise.all(instances.map((instance) => instance.destroy()))
  return { seen, codes: [...codes].sort() }
}) satisfies Worker<Audit, AuditResult>
