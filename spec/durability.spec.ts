import { expect, it } from 'vitest'
import { KnexSessionStore } from '../lib'
import { describeDatabase } from './support/databases'
import { handMade } from './support/stores'

describeDatabase('postgres', 'durability', (database) => {
  it('is that of each store, also where stores share a Knex', async () => {
    await using opened = await database.open()
    const relaxed: boolean[] = []
    opened.knex.on('query', ({ sql }: { sql: string }) => {
      if (/^UPDATE/.test(sql)) relaxed.push(sql.includes('synchronous_commit'))
    })
    for (const durability of ['sets', 'all', 'sets'] as const) {
      await using store = new KnexSessionStore({ knex: opened.knex, durability, touchAfterMs: 0 })
      await store.set('a', handMade())
      await store.touch('a', handMade())
    }
    expect(relaxed).toEqual([true, false, true])
  })
})
