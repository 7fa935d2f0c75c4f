import { AsyncLocalStorage } from 'node:async_hooks'
import type { Knex } from 'knex'
import { describe, expect, it } from 'vitest'
import type { KnexSessionStore } from '../../lib'
import { describeDatabase } from '../support/databases'
import { describeStores, handMade, openStore, shareDatabase } from '../support/stores'

const userOf = (found: unknown) => (found as { user?: string } | null)?.user

function sent(store: KnexSessionStore, operation: string): { calls: number; rows: number } {
  const { calls = 0, rows = 0 } = store.stats().statements[operation] ?? {}
  return { calls, rows }
}

async function sentDuring(store: KnexSessionStore, operation: string, work: () => Promise<unknown>) {
  const before = sent(store, operation)
  await work()
  const after = sent(store, operation)
  return { calls: after.calls - before.calls, rows: after.rows - before.rows }
}

describeStores('calls that come together', (kind) => {
  const database = shareDatabase(kind)
  const ids = Array.from({ length: 12 }, (_, number) => `id ${number}`)

  it('go in one statement of their kind, reads in two halves where the database is another process', async () => {
    await using opened = await openStore(database())
    const { store } = opened
    await store.ready()
    const all = (call: (id: string) => Promise<unknown>) => () => Promise.all(ids.map(call))
    expect(
      await sentDuring(
        store,
        'set',
        all((id) => store.set(id, handMade({ id })))
      )
    ).toEqual({ calls: 1, rows: 12 })
    expect(
      await sentDuring(
        store,
        'get',
        all((id) => store.get(id))
      )
    ).toEqual({ calls: kind.name === 'sqlite' ? 1 : 2, rows: 12 })
    expect(
      await sentDuring(
        store,
        'touch',
        all((id) => store.touch(id, handMade()))
      )
    ).toEqual({ calls: 1, rows: 12 })
    expect(
      await sentDuring(
        store,
        'destroy',
        all((id) => store.destroy(id))
      )
    ).toEqual({ calls: 1, rows: 12 })
  })

  it('for the same session read one row, and decode it for each', async () => {
    await using opened = await openStore(database())
    const { store } = opened
    await store.set('id', handMade({ cart: ['book'] }))
    const found: unknown[] = []
    const statements = await sentDuring(store, 'get', async () => {
      found.push(...(await Promise.all(ids.map(() => store.get('id')))))
    })
    expect(statements).toEqual({ calls: 1, rows: 1 })
    expect(new Set(found).size).toBe(12)
    expect(new Set(found.map((one) => (one as { cart: string[] }).cart)).size).toBe(12)
  })

  it('go in a statement each where batching is off, with the same answers', async () => {
    await using opened = await openStore(database(), { batch: false })
    const { store } = opened
    await store.ready()
    expect(await sentDuring(store, 'set', () => Promise.all(ids.map((id) => store.set(id, handMade({ user: id })))))).toEqual({
      calls: 12,
      rows: 12
    })
    expect((await Promise.all(ids.map((id) => store.get(id)))).map(userOf)).toEqual(ids)
  })

  it('are called back in the async context of each', async () => {
    await using opened = await openStore(database())
    const { store } = opened
    const context = new AsyncLocalStorage<string>()
    const calls: Record<string, (id: string, callback: () => void) => unknown> = {
      set: (id, callback) => store.set(id, handMade({ id }), callback),
      get: (id, callback) => store.get(id, callback),
      touch: (id, callback) => store.touch(id, handMade(), callback),
      length: (_id, callback) => store.length(callback),
      destroy: (id, callback) => store.destroy(id, callback)
    }
    for (const [name, call] of Object.entries(calls)) {
      const inContext = (id: string) => context.run(id, () => new Promise((resolve) => call(id, () => resolve(context.getStore()))))
      expect({ name, seen: await Promise.all(ids.map(inContext)) }).toEqual({ name, seen: ids })
      const awaited = (id: string) =>
        context.run(id, async () => {
          await store.get(id)
          return context.getStore()
        })
      expect(await Promise.all(ids.map(awaited))).toEqual(ids)
    }
  })

  it('wait for nobody: one that is alone is sent at once', async () => {
    await using opened = await openStore(database())
    const { store, knex } = opened
    await store.ready()
    let isSent = false
    knex.on('query', () => {
      isSent = true
    })
    const call = store.get('id')
    for (let turn = 0; turn < 3 && !isSent; turn++) await new Promise((resolve) => setImmediate(resolve))
    expect(isSent).toBe(true)
    await call
  })

  it('fail alone where one of them is refused by the database', async () => {
    await using opened = await openStore(database())
    const { store, knex, tableName } = opened
    await store.ready()
    await refuse(knex, kind.name, tableName)
    const outcomes = await Promise.allSettled(ids.map((id, number) => store.set(id, handMade({ user: number === 5 ? 'poison' : id }))))
    expect(outcomes.map(({ status }) => status)).toEqual(ids.map((_id, number) => (number === 5 ? 'rejected' : 'fulfilled')))
    expect(outcomes[5]).toMatchObject({
      reason: { code: 'ERR_SESSION_DATABASE', message: expect.stringMatching(/a constraint, .* refuses this/) }
    })
    expect((await Promise.all(ids.map((id) => store.get(id)))).map(userOf)).toEqual(
      ids.map((id, number) => (number === 5 ? undefined : id))
    )
  })
})

describeDatabase('postgres', 'a statement that the database gives up for others', (kind) => {
  const database = shareDatabase(kind)

  /** The server gives up the first so many writes, as under SERIALIZABLE. A sequence counts on in spite of it. */
  async function storeGivenUp(times: number) {
    const opened = await openStore(database())
    const { store, knex, tableName } = opened
    await store.set('id', handMade({ user: 'ada' }))
    await knex.raw(`
      CREATE SEQUENCE ${tableName}_tries;
      CREATE FUNCTION ${tableName}_give_up() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF nextval('${tableName}_tries') <= ${times} THEN RAISE EXCEPTION 'could not serialize' USING ERRCODE = '40001'; END IF;
        RETURN NEW;
      END $$;
      CREATE TRIGGER give_up BEFORE INSERT OR UPDATE ON ${tableName} FOR EACH STATEMENT EXECUTE FUNCTION ${tableName}_give_up()`)
    return opened
  }

  it('is tried again, and the caller sees nothing of it', async () => {
    await using opened = await storeGivenUp(4)
    await opened.store.set('id', handMade({ user: 'bob' }))
    expect(userOf(await opened.store.get('id'))).toBe('bob')
    expect(opened.store.stats().statements.set?.errors).toBe(4)
  })

  it('is a clear error where that goes on', async () => {
    await using opened = await storeGivenUp(1000)
    await expect(opened.store.set('id', handMade({ user: 'bob' }))).rejects.toMatchObject({
      code: 'ERR_SESSION_DATABASE_BUSY',
      driverCode: '40001',
      message:
        'session set failed on postgresql: the database rolled the statement back again and again because of conflicts with other transactions; repeat the call later, and keep transactions short (driver code 40001)'
    })
    expect(userOf(await opened.store.get('id'))).toBe('ada')
  })

  it('lets go of the rows it has when another is locked, so that no deadlock with the application comes of it', async () => {
    await using opened = await openStore(database(), { storedId: 'plain' })
    const { store, knex, tableName } = opened
    await Promise.all(['a', 'b'].map((id) => store.set(id, handMade({ user: 'ada' }))))
    const other = opened.another({ knex: opened.database.connect(), storedId: 'plain' })
    await knex
      .transaction(async (trx) => {
        await trx.raw(`SET LOCAL deadlock_timeout = '100ms'`)
        await trx(tableName).where('id', 'b').update({ owner_id: 'locked' })
        const writes = Promise.all(['a', 'b'].map((id) => other.set(id, handMade({ user: 'bob' }))))
        await untilWaiting(knex)
        await trx(tableName).where('id', 'a').update({ owner_id: 'locked' })
        writes.catch(() => undefined)
        return [writes]
      })
      .then(([writes]) => writes)
    expect((await Promise.all(['a', 'b'].map((id) => store.get(id)))).map(userOf)).toEqual(['bob', 'bob'])
    // The row that was locked is written last. The other may have been written before the application got it.
    expect(await knex(tableName).where('id', 'b').pluck('owner_id')).toEqual([null])
    expect(other.stats().statements.set?.errors).toBeGreaterThan(0)
  })
})

describe('what the store sends', () => {
  describeStores('for a thousand calls', (kind) => {
    it('is a few statements, and each call gets its own answer', async () => {
      await using opened = await openStore(kind, { storedId: 'plain' })
      const { store } = opened
      await store.ready()
      const many = Array.from({ length: 1000 }, (_, number) => `id ${number}`)
      const written = await sentDuring(store, 'set', () => Promise.all(many.map((id) => store.set(id, handMade({ user: id })))))
      expect(written.rows).toBe(1000)
      expect(written.calls).toBeLessThanOrEqual(10)
      expect((await Promise.all(many.map((id) => store.get(id)))).map(userOf)).toEqual(many)
      expect(store.stats().waiting).toBe(0)
    })
  })
})

/** Makes the database refuse a row whose data has the word poison in it. */
async function refuse(knex: Knex, name: string, tableName: string): Promise<void> {
  const refusal = name === 'mysql' ? "data NOT LIKE '%poison%'" : "position('poison' in data) = 0"
  if (name !== 'sqlite') return knex.raw(`ALTER TABLE ${tableName} ADD CONSTRAINT ${tableName}_no_poison CHECK (${refusal})`)
  for (const event of ['INSERT', 'UPDATE']) {
    await knex.raw(`CREATE TRIGGER ${tableName}_no_poison_${event} BEFORE ${event} ON ${tableName}
      WHEN NEW.data LIKE '%poison%' BEGIN SELECT RAISE(ABORT, 'poison'); END`)
  }
}

/** Resolves when a statement of this database waits for a lock. */
async function untilWaiting(knex: Knex): Promise<void> {
  for (;;) {
    const { rows } = await knex.raw("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
    if (rows.length > 0) return
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}
