import { expect, it, vi } from 'vitest'
import { ReadOnlyDatabaseError } from '../../lib'
import { describeDatabase } from '../support/databases'
import { standStill } from '../support/movable-natives'
import { handMade, openStore } from '../support/stores'

vi.mock('../../lib/runtime/natives', () => import('../support/movable-natives.ts'))

describeDatabase('postgres', 'a database that takes no writes for long', (kind) => {
  it('is written to again a second after new connections take writes', async () => {
    await using database = await kind.open()
    await openStore(database).then(({ store }) => store.ready())
    let isPrimary = false
    // A full server is set read-only like this, and the connections that there are stay as they are when it is not any more.
    const afterCreate = (connection: { query(sql: string, done: (error: unknown) => void): void }, done: (error: unknown) => void) => {
      if (isPrimary) done(null)
      else connection.query('SET default_transaction_read_only = on', done)
    }
    const knex = database.connect({ pool: { min: 0, max: 10, afterCreate } })
    const { store } = await openStore(database, { knex })
    for (let second = 0; second < 18; second++) {
      await expect(store.set('a', handMade())).rejects.toThrow(ReadOnlyDatabaseError)
      standStill(1_000)
    }
    isPrimary = true
    await store.set('a', handMade({ user: 'Ada' }))
    expect(await store.get('a')).toMatchObject({ user: 'Ada' })
  })
})
