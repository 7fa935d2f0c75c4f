import type { SessionData } from 'express-session'
import type { Knex } from 'knex'
import { expect, it, vi } from 'vitest'
import { afterCommit } from '../../lib/knex/transaction-end'
import { PATIENT } from '../support/patience'
import { describeStores, handMade, openStore, shareDatabase } from '../support/stores'

describeStores('what is left for after the commit', (kind) => {
  const database = shareDatabase(kind)

  /** Runs `transactions`, and returns the names of what was done after the commit. */
  async function doneAfter(transactions: (knex: Knex, note: (trx: Knex.Transaction, name: string) => void) => Promise<unknown>) {
    await using opened = await openStore(database())
    const done: string[] = []
    await transactions(opened.knex, (trx, name) =>
      afterCommit(trx, async () => {
        done.push(name)
      })
    )
    return done
  }
  const undo = () => Promise.reject(new RangeError('on purpose'))

  it('is done once the transaction has committed, and not before', async () => {
    const done = await doneAfter(async (knex, note) => {
      const seen = await knex.transaction(async (trx) => {
        note(trx, 'first')
        note(trx, 'second')
        await trx.raw('SELECT 1')
        return 'still inside'
      })
      expect(seen).toBe('still inside')
    })
    expect(done).toEqual(['first', 'second'])
  })

  it('is not done if the function of the transaction throws', async () => {
    const done = await doneAfter((knex, note) =>
      knex
        .transaction((trx) => {
          note(trx, 'undone')
          return undo()
        })
        .catch(() => undefined)
    )
    expect(done).toEqual([])
  })

  it.each([undefined, new RangeError('on purpose')])('is not done if rollback(%s) is called', async (reason) => {
    const done = await doneAfter(async (knex, note) => {
      const trx = await knex.transaction()
      note(trx, 'undone')
      await trx.rollback(reason)
      await trx.executionPromise.catch(() => undefined)
    })
    expect(done).toEqual([])
  })

  it('is done if rollback() is called after the commit, where it does nothing', async () => {
    const done = await doneAfter((knex, note) =>
      knex.transaction(async (trx) => {
        const handle = await trx.transaction()
        note(handle, 'kept')
        await handle.commit()
        await handle.rollback().catch(() => undefined)
      })
    )
    expect(done).toEqual(['kept'])
  })

  it('of a nested transaction is done after the outermost one has committed', async () => {
    const done = await doneAfter(async (knex, note) => {
      const order: string[] = []
      await knex.transaction(async (trx) => {
        await trx.transaction((middle) => middle.transaction(async (inner) => note(inner, 'inner')))
        order.push('inner is released')
      })
      expect(order).toEqual(['inner is released'])
    })
    expect(done).toEqual(['inner'])
  })

  it('of a nested transaction that was rolled back is not done, though the outer one commits', async () => {
    const done = await doneAfter((knex, note) =>
      knex.transaction(async (trx) => {
        note(trx, 'outer')
        await trx
          .transaction((nested) => {
            note(nested, 'thrown')
            return undo()
          })
          .catch(() => undefined)
        const handle = await trx.transaction()
        note(handle, 'rolled back by hand')
        await handle.rollback()
        await trx
          .transaction(async (middle) => {
            await middle.transaction(async (inner) => note(inner, 'released in what was rolled back'))
            return undo()
          })
          .catch(() => undefined)
      })
    )
    expect(done).toEqual(['outer'])
  })

  it('of a nested transaction that nothing ended is done, because it commits with the one around it', async () => {
    const done = await doneAfter(async (knex, note) => {
      await knex.transaction(async (trx) => note(await trx.transaction(), 'kept'))
    })
    expect(done).toEqual(['kept'])
  })
})

describeStores('a sign-in in a savepoint that is rolled back', (kind) => {
  const database = shareDatabase(kind)

  it('ends no other session of the owner', async () => {
    const owner = (session: Partial<SessionData>) => (session as { user?: string }).user
    await using opened = await openStore(database(), { owner })
    const { store, knex } = opened
    for (const id of ['ada 1', 'ada 2', 'ben 1', 'ben 2']) await store.set(id, handMade({ user: id.slice(0, 3) }))
    const limited = opened.another({ owner, maxSessionsPerOwner: 1 })
    await knex.transaction(async (trx) => {
      const undone = trx.transaction(async (nested) => {
        await limited.withTransaction(nested).set('ada 3', handMade({ user: 'ada' }))
        throw new RangeError('on purpose')
      })
      await expect(undone).rejects.toThrow('on purpose')
      await limited.withTransaction(trx).set('ben 3', handMade({ user: 'ben' }))
    })
    await vi.waitUntil(async () => (await store.countOf('ben')) === 1, PATIENT)
    expect(await store.countOf('ada')).toBe(2)
  })
})
