import { setTimeout as pause } from 'node:timers/promises'
import createKnex, { type Knex } from 'knex'
import mysql from 'mysql2'
import pg from 'pg'
import { expect, it, vi } from 'vitest'
import type { KnexSessionStore } from '../../lib'
import { type Database, describeDatabases, databases as kinds } from '../support/databases'
import { ForgetfulProxy } from '../support/forgetful-proxy'
import { checkLeaksPerFile } from '../support/leaks'
import { PATIENT } from '../support/patience'
import { handMade, openStore } from '../support/stores'

// The sockets of forgotten connections are closed with the proxy, after the spec.
checkLeaksPerFile()

const PORTS: Readonly<Record<string, number>> = { postgres: 5432, mysql: 3306 }
const servers = kinds.filter(({ name }) => name in PORTS)

async function openBehindProxy(kind: Database, options: { timeoutMs: number; maxConnections: number }) {
  const database = await kind.open()
  const proxy = await ForgetfulProxy.to(database.url, PORTS[kind.name] as number)
  const knex = database.connect({ connection: proxy.url(database.url), pool: { min: 0, max: 10 } })
  const opened = await openStore(database, { knex, ...options })
  return {
    ...opened,
    proxy,
    async [Symbol.asyncDispose]() {
      await opened[Symbol.asyncDispose]()
      // Cuts the forgotten connections, which Knex could not close otherwise.
      await proxy[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
    }
  }
}

/** A pool of the driver's own, and how it is closed. */
const NATIVE_POOLS: Readonly<Record<string, (url: string) => { pool: object; close: () => Promise<unknown> }>> = {
  postgres: (connectionString) => {
    const pool = new pg.Pool({ connectionString, max: 6 })
    // Its connections are cut at the end of the spec.
    pool.on('error', () => undefined)
    return { pool, close: () => pool.end() }
  },
  mysql: (uri) => {
    const pool = mysql.createPool({ uri, connectionLimit: 6 })
    return { pool, close: () => new Promise((resolve) => pool.end(resolve)) }
  }
}

/** Makes the pool hold so many connections that all lie idle. */
async function fill(knex: Knex, count: number): Promise<void> {
  const { client } = knex
  const connections = await Promise.all(Array.from({ length: count }, () => client.acquireConnection()))
  for (const connection of connections) await client.releaseConnection(connection)
  await atRest(knex)
  expect(client.pool.numFree()).toBeGreaterThanOrEqual(count)
}

/** Waits for connections that are being made: one that is forgotten then is waited for by the pool, however long that takes. */
async function atRest({ client }: Knex): Promise<void> {
  await vi.waitUntil(() => client.pool.numPendingCreates() === 0 && client.pool.numUsed() === 0, PATIENT)
}

/** One user, one call after the other: after a time-out a moment later, when its statement is given up too. Answers how many timed out. */
async function timeOuts(store: KnexSessionStore, calls: number): Promise<number> {
  let count = 0
  for (let call = 0; call < calls; call++) {
    await store.get('a').catch(async (error) => {
      expect(error).toMatchObject({ code: 'ERR_SESSION_TIMEOUT' })
      count++
      await vi.waitUntil(() => (store.stats().statements.get?.errors ?? 0) >= count, PATIENT)
    })
  }
  return count
}

describeDatabases(
  'connections that the network has forgotten',
  (kind) => {
    it('cost at most two calls their answer, however many of the store there are', async () => {
      await using opened = await openBehindProxy(kind, { timeoutMs: 1000, maxConnections: 8 })
      const { store, knex, proxy } = opened
      await store.set('a', handMade({ user: 'ada' }))
      // Seven that statements of a store were answered on, which had time for so many calls at once.
      const patient = opened.another({ knex, timeoutMs: 20_000, maxConnections: 8 })
      await vi.waitUntil(async () => {
        await Promise.all(
          Array.from({ length: 400 }, async (_, index) => {
            await pause(index % 20)
            await Promise.all([patient.get(`${index}`), patient.set(`s${index}`, handMade()), patient.destroy(`d${index}`)])
          })
        )
        return knex.client.pool.numFree() >= 5
      }, PATIENT)
      await atRest(knex)
      proxy.forget()
      expect(await timeOuts(store, 20)).toBeLessThanOrEqual(2)
      expect(await store.get('a')).toMatchObject({ user: 'ada' })
    })

    it('cost at most two calls their answer where only the application has used them', async () => {
      await using opened = await openBehindProxy(kind, { timeoutMs: 1000, maxConnections: 4 })
      const { store, knex, proxy } = opened
      await store.set('a', handMade({ user: 'ada' }))
      await fill(knex, 4)
      proxy.forget()
      expect(await timeOuts(store, 12)).toBeLessThanOrEqual(2)
      expect(await store.get('a')).toMatchObject({ user: 'ada' })
    })

    it('are found in a pool of the driver that the application has brought', async () => {
      await using database = await kind.open()
      await using proxy = await ForgetfulProxy.to(database.url, PORTS[kind.name] as number)
      const native = NATIVE_POOLS[kind.name]?.(proxy.url(database.url))
      const knex = createKnex({ client: database.config.client, connectionPool: native?.pool } as Knex.Config)
      const { store } = await openStore(database, { knex, timeoutMs: 1000 })
      await store.set('a', handMade({ user: 'ada' }))
      const { client } = knex
      const connections = await Promise.all(Array.from({ length: 4 }, () => client.acquireConnection()))
      for (const connection of connections) await client.releaseConnection(connection)
      proxy.forget()
      expect(await timeOuts(store, 12)).toBeLessThanOrEqual(2)
      expect(await store.get('a')).toMatchObject({ user: 'ada' })
      await knex.destroy()
      await proxy[Symbol.asyncDispose]()
      await native?.close()
    })

    it('are the only ones that are dropped: one that was answered on meanwhile stays', async () => {
      await using opened = await openBehindProxy(kind, { timeoutMs: 1000, maxConnections: 4 })
      const { store, knex, proxy } = opened
      await store.set('a', handMade({ user: 'ada' }))
      await atRest(knex)
      proxy.forget()
      await timeOuts(store, 3)
      const { connections } = proxy
      for (let call = 0; call < 50; call++) await store.get('a')
      expect(proxy.connections).toBe(connections)
      expect(knex.client.pool.numFree() + knex.client.pool.numUsed()).toBeGreaterThan(0)
    })
  },
  servers
)
