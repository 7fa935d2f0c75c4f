import type { SessionData } from 'express-session'
import { expect, it } from 'vitest'
import { Clock, describeStores, handMade, openStore, type StoreOptions, shareDatabase } from '../support/stores'

const owner: StoreOptions['owner'] = (data) => (data as { user?: string }).user
type Data = SessionData & { user?: string; a?: number; b?: number }

describeStores('a request that looks at the sessions of an owner', (kind) => {
  const database = shareDatabase(kind)

  it.each(['ofOwner', 'all'] as const)('loses nothing that another has written since it loaded its own (%s)', async (look) => {
    await using opened = await openStore(database(), { owner })
    const { store } = opened
    await store.set('id', handMade({ user: 'ada' }))
    // As Fastify does: it sets copies, which are recognised by their async context.
    await (async () => {
      const mine = structuredClone((await store.get('id')) as Data)
      const other = (await opened.another({ owner }).get('id')) as Data
      other.b = 1
      await opened.another({ owner }).set('id', other)
      await (look === 'all' ? store.all() : store.ofOwner('ada'))
      mine.a = 1
      await store.set('id', mine)
    })()
    expect(await store.get('id')).toMatchObject({ a: 1, b: 1 })
  })

  it('keeps the session that it excepts, and ends the others, before they are moved from their plain ids', async () => {
    await using opened = await openStore(database(), { owner, storedId: 'plain' })
    for (const id of ['here', 'there']) await opened.store.set(id, handMade({ user: 'ada' }))
    const store = opened.another({ owner, upgradePlainIds: true })
    expect(await store.destroyOwner('ada', { except: 'here' })).toBe(1)
    expect([(await store.get('here')) !== null, await store.get('there')]).toEqual([true, null])
  })

  it('leaves a session that began under its plain id after the log-out', async () => {
    const clock = new Clock()
    await using opened = await openStore(database(), { owner, storedId: 'plain', clock: clock.read })
    const plain = opened.store
    const hashed = opened.another({ owner, upgradePlainIds: true, clock: clock.read })
    await plain.set('before', handMade({ user: 'ada' }))
    const held = await plain.get('before')
    await hashed.destroyOwner('ada')
    expect(await plain.get('before')).toBeNull()
    clock.advance(1000)
    await plain.set('after', handMade({ user: 'ada' }))
    await plain.set('before', held as never)
    expect(await hashed.get('after')).toMatchObject({ user: 'ada' })
    expect(await hashed.get('before')).toBeNull()
  })

  it('ends a session too that is on its way from its plain id', async () => {
    await using opened = await openStore(database(), { owner, storedId: 'plain' })
    const { knex, tableName } = opened
    await opened.store.set('id', handMade({ user: 'ada' }))
    // A process has claimed the row, and died.
    await knex(tableName).update({ expires_at: knex.raw('-expires_at'), owner_id: null, revision: 2 })
    const store = opened.another({ owner, upgradePlainIds: true })
    await store.destroyOwner('ada')
    expect(await store.get('id')).toBeNull()
  })
})
