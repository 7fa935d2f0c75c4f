import type { Knex } from 'knex'
import { describe, expect, it } from 'vitest'
import { Deadlines } from '../../lib/calls/deadlines'
import { BorrowedConnections } from '../../lib/knex/borrowed-connections'
import type { Connection, KnexClient } from '../../lib/knex/knex-client'
import { describeDatabase } from '../support/databases'
import { handMade, openStore } from '../support/stores'

/** Gives connections as Knex does, but by a function of the application's. Answers how often it was asked. */
function giveByOwnFunction({ client }: Knex): () => number {
  const { acquireConnection } = client
  let asked = 0
  client.acquireConnection = () => {
    asked++
    return acquireConnection.call(client)
  }
  return () => asked
}

const deadlines = new Deadlines(5000)
const turn = () => new Promise((resolve) => setImmediate(resolve))

describeDatabase('postgres', 'a connection that a statement gives back', (kind) => {
  async function openPool(max: number) {
    const database = await kind.open({ knex: { pool: { min: 0, max } } })
    const { client } = database.knex as unknown as { client: KnexClient & { pool: { numUsed(): number } } }
    let asked = 0
    const { pool } = client as unknown as { pool: { on(event: string, listener: () => void): void } }
    pool.on('acquireRequest', () => {
      asked++
    })
    return {
      database,
      client,
      borrowed: BorrowedConnections.of(client),
      asked: () => asked,
      [Symbol.asyncDispose]: () => database[Symbol.asyncDispose]()
    }
  }

  it('serves the next statement of the same turn, and lies in the pool when the turn is over', async () => {
    await using opened = await openPool(4)
    const { borrowed, client } = opened
    const connection = await borrowed.acquire(deadlines)
    borrowed.giveBack(connection)
    expect(borrowed.acquire(deadlines)).toBe(connection)
    borrowed.giveBack(connection)
    expect(opened.asked()).toBe(1)
    expect(client.pool.numUsed()).toBe(1)
    await turn()
    expect(client.pool.numUsed()).toBe(0)
  })

  it('goes to who waits for the pool, at once', async () => {
    await using opened = await openPool(1)
    const { borrowed, client, database } = opened
    const connection = await borrowed.acquire(deadlines)
    let taken: unknown
    const waiting = client.acquireConnection().then((given) => {
      taken = given
    })
    await turn()
    borrowed.giveBack(connection)
    // Within this turn.
    for (let step = 0; step < 100 && taken === undefined; step++) await Promise.resolve()
    expect(taken).toBe(connection)
    await waiting
    client.releaseConnection(connection)
    expect(await database.knex.raw('SELECT 1')).toMatchObject({ rowCount: 1 })
  })

  it('is not used again when it broke meanwhile', async () => {
    await using opened = await openPool(4)
    const { borrowed } = opened
    const broken: Connection = await borrowed.acquire(deadlines)
    borrowed.giveBack(broken)
    broken.__knex__disposed = new Error('it ended')
    const other = await borrowed.acquire(deadlines)
    expect(other).not.toBe(broken)
    borrowed.giveBack(other)
    await turn()
  })

  it('is asked for each time where the application gives connections by a function of its own', async () => {
    await using opened = await openStore(kind)
    await opened.store.ready()
    const asked = giveByOwnFunction(opened.knex)
    for (let index = 0; index < 5; index++) await opened.store.set('a', handMade({ index }))
    expect(asked()).toBe(5)
  })

  it('is asked for once in a while where one call follows the other', async () => {
    await using opened = await openStore(kind)
    await opened.store.ready()
    let asked = 0
    opened.knex.client.pool.on('acquireRequest', () => {
      asked++
    })
    for (let index = 0; index < 20; index++) await opened.store.get('a')
    expect(asked).toBeLessThan(20)
    await turn()
    expect(opened.knex.client.pool.numUsed()).toBe(0)
  })
})

describeDatabase('sqlite', 'the connection that lies idle', (kind) => {
  it('is used where it lies, without asking the pool, but never under a transaction of the application', async () => {
    await using opened = await openStore(kind, { storedId: 'plain' })
    const { store, knex, tableName } = opened
    await store.set('a', handMade({ user: 'ada' }))
    let asked = 0
    knex.client.pool.on('acquireRequest', () => {
      asked++
    })
    expect(await store.get('a')).toMatchObject({ user: 'ada' })
    expect(asked).toBe(0)
    let read: Promise<unknown> | undefined
    await knex
      .transaction(async (trx) => {
        await trx(tableName).where('id', 'a').delete()
        read = store.get('a')
        for (let turns = 0; turns < 5; turns++) await turn()
        await trx.rollback()
      })
      .catch(() => undefined)
    // It waited for the end: within the transaction there was no session.
    expect(await read).toMatchObject({ user: 'ada' })
    expect(asked).toBeGreaterThan(0)
  })

  it('is asked for where the application gives connections by a function of its own', async () => {
    await using opened = await openStore(kind)
    await opened.store.set('a', handMade())
    const asked = giveByOwnFunction(opened.knex)
    await opened.store.get('a')
    expect(asked()).toBe(1)
  })

  it('is another one after Knex was destroyed and initialised again', async () => {
    await using opened = await openStore(kind)
    const { store, knex } = opened
    await store.set('a', handMade({ user: 'ada' }))
    await knex.destroy()
    await expect(store.get('a')).rejects.toMatchObject({ code: 'ERR_SESSION_DATABASE_UNREACHABLE' })
    await knex.initialize()
    expect(await store.get('a')).toMatchObject({ user: 'ada' })
  })
})

describe('borrowed connections', () => {
  it('are the same for all who use one Knex', () => {
    const client = {} as KnexClient
    expect(BorrowedConnections.of(client)).toBe(BorrowedConnections.of(client))
  })
})
