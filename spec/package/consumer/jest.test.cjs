/* global afterAll, describe, expect, jest, test */
const { KnexSessionStore } = require('knex-session-store')
const { memoryDatabase, sessionStoreContract } = require('knex-session-store/testing')

describe('an application that is built again and again', () => {
  const database = memoryDatabase()
  afterAll(() => database.knex.destroy())

  test('shares one table, also with a copy of the package from after a module reset', async () => {
    const first = new KnexSessionStore({ knex: database.knex })
    await first.set('one', { cookie: { originalMaxAge: 60_000 }, name: 'ada' })
    jest.resetModules()
    const { KnexSessionStore: SecondCopy } = require('knex-session-store')
    expect(SecondCopy).not.toBe(KnexSessionStore)
    const second = new SecondCopy({ knex: database.knex })
    expect(await second.get('one')).toMatchObject({ name: 'ada' })
    await Promise.all([first.close(), second.close()])
  })
})

sessionStoreContract(() => {
  const { knex } = memoryDatabase()
  const store = new KnexSessionStore({ knex })
  return { store, dispose: () => store.close().then(() => knex.destroy()) }
})
