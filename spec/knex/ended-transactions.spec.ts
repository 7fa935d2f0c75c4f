import type { Knex } from 'knex'
import { describe, expect, it } from 'vitest'
import { InvalidOptionError, KnexSessionStore, TransactionEndedError } from '../../lib'
import { describeDatabase } from '../support/databases'
import { describeStores, handMade, openStore, StatementLog, shareDatabase } from '../support/stores'

/** Every method that asks the database. */
function callsOf(store: KnexSessionStore): Record<string, () => Promise<unknown>> {
  const session = handMade({ user: 'late' })
  return {
    get: () => store.get('a'),
    set: () => store.set('late', session),
    touch: () => store.touch('a', session),
    destroy: () => store.destroy('a'),
    all: () => store.all(),
    ids: () => store.ids(),
    length: () => store.length(),
    clear: () => store.clear(),
    prune: () => store.prune(),
    ready: () => store.ready()
  }
}

async function expectRefused(store: KnexSessionStore, log: StatementLog): Promise<void> {
  log.clear()
  for (const [name, call] of Object.entries(callsOf(store))) {
    const error = await call().catch((caught) => caught)
    expect(error, name).toBeInstanceOf(TransactionEndedError)
    expect(error, name).toMatchObject({ code: 'ERR_SESSION_TRANSACTION_ENDED' })
  }
  expect(await store.health()).toMatchObject({ ok: false, error: { code: 'ERR_SESSION_TRANSACTION_ENDED' } })
  expect(log.statements).toEqual([])
}

describeStores('a store in a transaction that has ended', (kind) => {
  const database = shareDatabase(kind, { knex: { pool: { min: 0, max: 1 } } })

  async function open() {
    const opened = await openStore(database())
    await opened.store.set('a', handMade({ user: 'ada' }))
    return { ...opened, log: new StatementLog(opened.knex) }
  }

  it.each(['commit', 'rollback'] as const)('refuses every method before anything is sent: after %s', async (end) => {
    await using opened = await open()
    const { store, knex, log } = opened
    const trx = await knex.transaction()
    const inside = store.withTransaction(trx)
    await inside.get('a')
    await trx[end]()
    await expectRefused(inside, log)
    await expectRefused(new KnexSessionStore({ knex: trx, tableName: opened.tableName }), log)
    await inside.close()
    expect(await store.get('a')).toMatchObject({ user: 'ada' })
    expect(await store.get('late')).toBeNull()
  })

  it('refuses in a nested one too, whose own end it was, or that of the one around it', async () => {
    await using opened = await open()
    const { store, knex, log } = opened
    let released: KnexSessionStore | undefined
    let around: KnexSessionStore | undefined
    await knex
      .transaction(async (trx) => {
        await trx.transaction(async (nested) => {
          released = store.withTransaction(nested)
          await released.get('a')
        })
        await expectRefused(released as KnexSessionStore, log)
        // The one around it goes on.
        await store.withTransaction(trx).set('b', handMade({ user: 'bob' }))
        around = store.withTransaction(await trx.transaction())
      })
      .catch(() => undefined)
    await expectRefused(released as KnexSessionStore, log)
    await expectRefused(around as KnexSessionStore, log)
  })

  it('refuses a call that was begun before the end and is sent after it', async () => {
    await using opened = await open()
    const { store, knex } = opened
    const outcomes: Promise<unknown>[] = []
    await knex.transaction(async (trx) => {
      const inside = store.withTransaction(trx)
      await inside.get('a')
      // Not awaited: each goes when the one before has answered.
      for (let index = 0; index < 10; index++) {
        outcomes.push(
          inside.set('late', handMade({ index })).then(
            () => 'written',
            (error) => error
          )
        )
      }
    })
    const written = (await Promise.all(outcomes)).filter((outcome) => outcome === 'written')
    for (const outcome of await Promise.all(outcomes)) {
      if (outcome !== 'written') expect(outcome).toBeInstanceOf(TransactionEndedError)
    }
    // What was said to be written was committed, and nothing else.
    expect(written.length).toBeLessThan(10)
    const { index } = ((await store.get('late')) ?? { index: -1 }) as { index: number }
    expect(index).toBe(written.length - 1)
  })

  it('writes nothing into the transaction of another request, which has the connection now', async () => {
    await using opened = await open()
    const { store, knex } = opened
    const first = await knex.transaction()
    const inside = store.withTransaction(first)
    await inside.get('a')
    await first.commit()
    const second = await knex.transaction()
    await expect(inside.set('late', handMade())).rejects.toThrow(TransactionEndedError)
    expect(await store.withTransaction(second).get('late')).toBeNull()
    await second.rollback()
  })
})

describeDatabase('postgres', 'a store in a transaction whose BEGIN failed', (kind) => {
  it('writes nothing, though Knex runs the function, and though the connection belongs to another one later', async () => {
    await using opened = await openStore(kind, {}, { knex: { pool: { min: 0, max: 1 } } })
    const { store, knex } = opened
    await store.set('a', handMade({ user: 'ada' }))
    // A BEGIN that the server refuses, as it refuses everything after an error, on a connection that lives on.
    await knex.raw('BEGIN')
    await knex.raw('SELECT 1 / 0').catch(() => undefined)
    const trx = await knex.transaction()
    trx.executionPromise.catch(() => undefined)
    expect(trx.isCompleted()).toBe(true)
    const inside = store.withTransaction(trx)
    await expect(inside.set('late', handMade())).rejects.toThrow(TransactionEndedError)
    await trx.rollback().catch(() => undefined)
    await knex.raw('ROLLBACK')
    const other = await knex.transaction()
    await expect(inside.set('late', handMade())).rejects.toThrow(TransactionEndedError)
    expect(await store.withTransaction(other).get('late')).toBeNull()
    await other.rollback()
  })

  it('writes nothing where the server ended the connection before BEGIN', async () => {
    await using opened = await openStore(kind, {}, { knex: { pool: { min: 0, max: 2 } } })
    const { store, knex, database } = opened
    await store.set('a', handMade({ user: 'ada' }))
    const admin = database.connect()
    const refused: unknown[] = []
    for (let round = 0; round < 5; round++) {
      const killing = admin.raw(
        'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()'
      )
      await knex
        .transaction(async (trx) => {
          await store.withTransaction(trx).set(`late ${round}`, handMade())
        })
        .catch((error) => refused.push(error))
      await killing
      const found = await store.get(`late ${round}`)
      expect(found === null).toBe(refused.length > 0)
      refused.length = 0
    }
  })
})

describe('withTransaction()', () => {
  describeStores('given something else', (kind) => {
    it('says what to pass', async () => {
      await using opened = await openStore(kind)
      for (const wrong of [opened.knex, undefined, null, {}, 'trx', Promise.resolve()]) {
        expect(() => opened.store.withTransaction(wrong as unknown as Knex.Transaction)).toThrow(InvalidOptionError)
      }
      expect(() => opened.store.withTransaction(opened.knex as Knex.Transaction)).toThrow(
        /^trx must be a transaction of Knex, got a function\. Pass the trx of knex\.transaction\(async \(trx\) => …\)/
      )
    })
  })
})
