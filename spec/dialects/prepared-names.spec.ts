import type { Knex } from 'knex'
import { expect, it } from 'vitest'
import type { KnexSessionStore } from '../../lib'
import { describeDatabase } from '../support/databases'
import { handMade, openStore } from '../support/stores'
import { SwappingPooler } from '../support/swapping-pooler'

/** Every kind of statement, alone and many at once. */
async function useWell(store: KnexSessionStore): Promise<void> {
  const ids = Array.from({ length: 20 }, (_, index) => `s${index}`)
  for (const some of [ids.slice(0, 1), ids]) {
    await Promise.all(some.map((id) => store.set(id, handMade({ id }))))
    const loaded = await Promise.all(some.map((id) => store.get(id)))
    expect(loaded.map((session) => (session as { id?: string } | null)?.id)).toEqual(some)
    await Promise.all(
      loaded.map((session, index) => store.set(some[index] as string, Object.assign(session as never, { changed: 1 }) as never))
    )
    await Promise.all(loaded.map((session, index) => store.touch(some[index] as string, session as never)))
    await Promise.all(some.map((id) => store.destroy(id)))
    await store.prune()
  }
}

async function preparedNames(knex: Knex): Promise<string[]> {
  const { rows } = await knex.raw('SELECT name FROM pg_prepared_statements ORDER BY name')
  return rows.map(({ name }: { name: string }) => name)
}

describeDatabase('postgres', 'what was prepared on a connection and is not known any more', (kind) => {
  const onOne = { knex: { pool: { min: 0, max: 1 } } }

  it.each(['DISCARD ALL', 'DEALLOCATE ALL'])('is prepared anew, unnoticed: after %s', async (reset) => {
    await using opened = await openStore(kind, { touchAfterMs: 0 }, onOne)
    const { store, knex } = opened
    await useWell(store)
    await knex.raw(reset)
    await useWell(store)
    expect((await preparedNames(knex)).length).toBeGreaterThan(0)
  })

  it('is prepared anew on each connection of the pool', async () => {
    await using opened = await openStore(kind, {}, { knex: { pool: { min: 0, max: 3 } } })
    const { store, knex } = opened
    const useMuch = () =>
      Promise.all(
        Array.from({ length: 60 }, async (_, index) => {
          await store.set(`s${index}`, handMade({ index }))
          await Promise.all([store.get(`s${index}`), store.destroy(`d${index}`)])
          expect(await store.get(`s${index}`)).toMatchObject({ index })
        })
      )
    for (let round = 0; round < 5; round++) {
      await useMuch()
      const connections = await Promise.all(Array.from({ length: 3 }, () => knex.client.acquireConnection()))
      await Promise.all(connections.map((connection) => connection.query('DISCARD ALL')))
      for (const connection of connections) await knex.client.releaseConnection(connection)
    }
    await useMuch()
  })

  it('is prepared anew when the columns of the table have changed their type', async () => {
    await using opened = await openStore(kind, {}, onOne)
    const { store, knex } = opened
    await store.set('a', handMade({ user: 'ada' }))
    expect(await store.get('a')).toMatchObject({ user: 'ada' })
    await knex.raw('ALTER TABLE sessions ALTER COLUMN created_at TYPE numeric')
    expect(await store.get('a')).toMatchObject({ user: 'ada' })
  })

  it('fails no call where each connection is reset before each statement, and is bounded on the server and in the driver', async () => {
    await using opened = await openStore(kind, { touchAfterMs: 0 }, onOne)
    const { store, knex } = opened
    const reset = async (sql: string) => {
      await knex.raw(sql)
    }
    const session = handMade()
    for (let round = 0; round < 60; round++) {
      await reset(round % 2 === 0 ? 'DISCARD ALL' : 'DEALLOCATE ALL')
      await store.set('a', session)
      await reset('DISCARD ALL')
      expect(await store.get('a')).not.toBeNull()
    }
    const connection = await knex.client.acquireConnection()
    expect(Object.keys(connection.connection.parsedStatements).length).toBeLessThan(100)
    await knex.client.releaseConnection(connection)
    await useWell(store)
  })

  it('is not relied on in a transaction, which a statement that fails would end', async () => {
    await using opened = await openStore(kind, { touchAfterMs: 0 }, onOne)
    const { store, knex } = opened
    await useWell(store)
    await knex.transaction(async (trx) => {
      const inside = store.withTransaction(trx)
      await inside.set('a', handMade({ user: 'ada' }))
      await trx.raw('DEALLOCATE ALL')
      expect(await inside.get('a')).toMatchObject({ user: 'ada' })
      await inside.set('b', handMade({ user: 'bob' }))
      await inside.destroy('b')
    })
    expect(await store.get('a')).toMatchObject({ user: 'ada' })
  })

  it('says what to do where a pooler changes the connections all the time, and does not pile up there', async () => {
    await using opened = await openStore(kind, {}, onOne)
    await opened.store.ready()
    await using pooler = await SwappingPooler.to(opened.database.url)
    const behind = opened.database.connect({ connection: pooler.url(opened.database.url), pool: { min: 0, max: 1 } })
    const pooled = await openStore(opened.database, { knex: behind, tableName: 'sessions', batch: false })
    const failures: unknown[] = []
    for (let index = 0; index < 200; index++) await pooled.store.get(`s${index}`).catch((error) => failures.push(error))
    expect(failures.length).toBeGreaterThan(50)
    for (const failure of failures) {
      expect(failure).toMatchObject({
        code: 'ERR_SESSION_DATABASE',
        message: expect.stringMatching(/the option prepare: false \(driver code (26000|42P05)\)/)
      })
    }
    for (let server = 0; server < 2; server++) expect((await preparedNames(behind)).length).toBeLessThan(20)
    const unprepared = await openStore(opened.database, { knex: behind, tableName: 'sessions', prepare: false })
    await useWell(unprepared.store)
    await behind.destroy()
  })
})
