import { expect, it, vi } from 'vitest'
import { describeDatabase, describeDatabases } from '../support/databases'
import { PATIENT } from '../support/patience'
import { Clock, handMade, openStore } from '../support/stores'

const DAY = 86_400_000

describeDatabases('the row of a session', (database) => {
  it('says when the session was last seen: written or touched, by the clock of the store', async () => {
    const clock = new Clock()
    await using opened = await openStore(database, { clock: clock.read, touchAfterMs: 0 })
    const { store, knex } = opened
    const lastSeen = async () => Number((await knex('sessions').first('last_seen_at')).last_seen_at)
    const expires = () => ({ originalMaxAge: DAY, expires: new Date(clock.read() + DAY) })

    await store.set('id', handMade({ a: 1 }, expires()))
    expect(await lastSeen()).toBe(clock.read())
    const begun = clock.read()

    clock.advance(1000)
    const session = await store.get('id')
    // To read is not to be seen: express-session touches at the end of the request.
    expect(await lastSeen()).toBe(begun)
    await store.touch('id', { ...session, cookie: expires() } as never)
    expect(await lastSeen()).toBe(begun + 1000)

    // Within the hour, and beyond it; alone, and with others.
    for (const later of [2000, 2 * 3_600_000]) {
      clock.advance(later)
      const loaded = await store.get('id')
      await store.set('id', Object.assign(loaded as object, { later }) as never)
      expect(await lastSeen()).toBe(clock.read())
    }
    await Promise.all(['b', 'c', 'd'].map((id) => store.set(id, handMade({}, expires()))))
    clock.advance(5000)
    await Promise.all(
      ['b', 'c', 'd', 'id'].map(async (id) =>
        store.touch(id, Object.assign((await store.get(id)) as object, { cookie: expires() }) as never)
      )
    )
    const all = await knex('sessions').select('last_seen_at')
    expect(all.map((row) => Number(row.last_seen_at))).toEqual(Array(4).fill(clock.read()))
    await store.set('id', handMade({ written: 'over' }, expires()))
    expect(Number((await knex('sessions').orderBy('created_at').first('created_at')).created_at)).toBe(begun)
  })

  it('is JSON also after the session has ended, and so is each row of the store itself', async () => {
    await using opened = await openStore(database, { pruneIntervalMs: 20 })
    const { store, knex } = opened
    await Promise.all(['a', 'b'].map((id) => store.set(id, handMade())))
    await store.destroy('a')
    await Promise.all([store.destroy('b'), store.destroy('never there')])
    // The third row is the store's own, by which processes agree which of them prunes.
    await vi.waitFor(async () => expect(await knex('sessions').pluck('data')).toEqual(['{}', '{}', '{}']), PATIENT)
  })
})

describeDatabase('postgres', 'a table with an index on the data as JSON', (kind) => {
  it('takes every change of a session, its end too', async () => {
    await using opened = await openStore(kind)
    const { store, knex } = opened
    await store.ready()
    await knex.raw("CREATE INDEX ON sessions (((data::jsonb)->>'user'))")
    await store.set('id', handMade({ user: 'ada' }))
    expect((await knex.raw("SELECT count(*) FROM sessions WHERE data::jsonb->>'user' = 'ada'")).rows).toEqual([{ count: '1' }])
    await store.destroy('id')
    expect((await knex.raw("SELECT count(*) FROM sessions WHERE data::jsonb->>'user' = 'ada'")).rows).toEqual([{ count: '0' }])
  })
})
