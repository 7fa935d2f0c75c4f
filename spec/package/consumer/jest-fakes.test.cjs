/* global afterAll, describe, expect, jest, test */
// With fake timers from the first line on, as a project has them that sets them for all of its tests.
jest.useFakeTimers()
const { TextDecoder, TextEncoder } = require('node:util')

// jsdom has none, and without them pg cannot be loaded.
Object.assign(globalThis, { TextDecoder, TextEncoder })
const knex = require('knex')

const config = JSON.parse(process.env.DATABASE)
const session = (user) => ({ cookie: { originalMaxAge: 3_600_000, expires: new Date(Date.now() + 3_600_000) }, user })

describe('under the fake timers of Jest', () => {
  jest.useRealTimers()
  const { KnexSessionStore } = require('knex-session-store')
  const db = knex(config)
  const store = new KnexSessionStore({ knex: db })
  afterAll(async () => {
    jest.useRealTimers()
    await store.close()
    await db.destroy()
  })

  test('each call is answered while they are on, and after they were taken away under it', async () => {
    await store.set('a', session('ada'))
    jest.useFakeTimers()
    expect(await store.get('a')).toMatchObject({ user: 'ada' })
    const underWay = [store.get('a'), store.set('b', session('bob')), store.touch('a', await store.get('a'))]
    jest.useRealTimers()
    await Promise.all(underWay)
    expect(await Promise.all(Array.from({ length: 20 }, () => store.get('a')))).toHaveLength(20)
    expect(await store.get('b')).toMatchObject({ user: 'bob' })
  })

  test('so is each of a copy that is loaded while they are on, and its Knex can be destroyed', async () => {
    jest.useFakeTimers()
    jest.resetModules()
    const { KnexSessionStore: Copy } = require('knex-session-store')
    const own = new Copy({ knex: db })
    const underFakes = own.get('a')
    expect(await underFakes).toMatchObject({ user: 'ada' })
    await own.set('c', session('cleo'))
    jest.useRealTimers()
    expect(await own.get('c')).toMatchObject({ user: 'cleo' })
    await own.close()
    await new Promise((resolve) => require('node:timers').setImmediate(resolve))
    expect(db.client.pool.numUsed()).toBe(0)
  })

  test('only the life of a session follows the clock of the test', async () => {
    await store.set('d', session('dora'))
    jest.useFakeTimers({ now: Date.now() + 2 * 3_600_000 })
    expect(await store.get('d')).toBeNull()
    jest.useRealTimers()
    expect(await store.get('d')).toMatchObject({ user: 'dora' })
  })
})
