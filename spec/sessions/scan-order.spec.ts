import { expect, it } from 'vitest'
import { KnexSessionStore } from '../../lib'
import { describeDatabases } from '../support/databases'

const session = (name: string) => ({ cookie: { originalMaxAge: null, expires: null, path: '/' }, name }) as never

describeDatabases('what looks at all sessions', (database) => {
  it('sees the writes that were asked for before it, and clear ends their sessions', async () => {
    await using opened = await database.open()
    await using store = new KnexSessionStore({ knex: opened.knex, pruneIntervalMs: false })
    await store.ready()
    const writes = [store.set('a', session('a')), store.set('b', session('b'))]
    expect(await store.length()).toBe(2)
    writes.push(store.set('c', session('c')))
    expect(await store.all()).toHaveLength(3)
    writes.push(store.set('d', session('d')))
    await store.clear()
    expect(await store.ids()).toEqual([])
    await Promise.all(writes)
  })
})
