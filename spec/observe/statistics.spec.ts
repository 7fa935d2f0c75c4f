import { expect, it } from 'vitest'
import { describeDatabases } from '../support/databases'
import { handMade, openStore } from '../support/stores'

describeDatabases('stats()', (database) => {
  it('counts calls, their errors and times, by operation and by statement', async () => {
    await using opened = await openStore(database)
    const { store } = opened
    await store.ready()
    await Promise.all(['a', 'b', 'c'].map((id) => store.set(id, handMade())))
    await Promise.all(['a', 'b'].map((id) => store.get(id)))
    await store.set('a', handMade({ amount: 1n })).catch(() => undefined)
    const { operations, statements, waiting, events } = store.stats()
    expect(operations).toMatchObject({ set: { calls: 4, errors: 1 }, get: { calls: 2, errors: 0 }, ready: { calls: 1 } })
    expect(statements).toMatchObject({ get: { calls: 1, rows: 2, errors: 0 }, set: { rows: 3, errors: 0 } })
    expect(operations.get?.maxMs).toBeGreaterThan(0)
    expect(operations.get?.totalMs).toBeGreaterThanOrEqual(operations.get?.maxMs ?? 0)
    expect({ waiting, events }).toEqual({ waiting: 0, events: {} })
  })

  it('counts events, also those that nobody listens to', async () => {
    await using opened = await openStore(database)
    const { store } = opened
    await store.set('id', handMade())
    const session = await store.get('id')
    await store.destroy('id')
    await store.set('id', Object.assign(session as object, { a: 1 }) as never)
    expect(store.stats().events).toEqual({ dropped: 1 })
  })

  it('is a copy of its own', async () => {
    await using opened = await openStore(database)
    const { store } = opened
    await store.get('id')
    const before = store.stats()
    await store.get('id')
    expect(before.operations.get?.calls).toBe(1)
    expect(store.stats().operations.get?.calls).toBe(2)
  })
})

describeDatabases('health()', (database) => {
  it('is good where the store works, and makes the table if need be', async () => {
    await using opened = await openStore(database)
    const health = await opened.store.health()
    expect(health).toMatchObject({ ok: true, latencyMs: expect.any(Number) })
    expect(health.error).toBeUndefined()
  })

  it('says that the table is missing, where it may not be made', async () => {
    await using opened = await openStore(database, { createTable: false })
    expect(await opened.store.health()).toMatchObject({ ok: false, error: { code: 'ERR_SESSION_TABLE_MISSING' } })
  })

  it('says that the database is down, in time, and that it is up again', async () => {
    await using opened = await openStore(database, { timeoutMs: 1500 })
    const { store, knex } = opened
    expect(await store.health()).toMatchObject({ ok: true })
    const { client } = knex
    const acquireConnection = client.acquireConnection
    client.acquireConnection = () => Promise.reject(Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }))
    const down = await store.health()
    expect(down.ok).toBe(false)
    expect(down.error).toMatchObject({ name: expect.stringMatching(/Error$/), message: expect.stringContaining('session get failed') })
    client.acquireConnection = () => new Promise(() => undefined)
    expect(await store.health()).toMatchObject({ ok: false, error: { code: 'ERR_SESSION_TIMEOUT' } })
    client.acquireConnection = acquireConnection
    await new Promise((resolve) => setImmediate(resolve))
    expect((await opened.another().health()).ok).toBe(true)
  })
})
