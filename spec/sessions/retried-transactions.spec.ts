import type { SessionData } from 'express-session'
import { expect, it } from 'vitest'
import { Clock, describeStores, handMade, openStore, type StoreOptions, shareDatabase } from '../support/stores'

type Data = SessionData & { user?: string; cart?: number }
const owner: StoreOptions['owner'] = (data) => (data as Data).user

describeStores('a session that was written in a transaction', (kind) => {
  const database = shareDatabase(kind)
  const open = async (options: StoreOptions = {}) => {
    const clock = new Clock()
    const opened = await openStore(database(), { owner, clock: clock.read, ...options })
    // On MariaDB a table that is made in a transaction commits it.
    await opened.store.ready()
    const { store, knex } = opened
    const write = (session: SessionData, isKept: boolean) =>
      knex
        .transaction(async (trx) => {
          await store.withTransaction(trx).set('id', session)
          if (!isKept) throw new RangeError('on purpose')
        })
        .catch((error) => expect(error).toBeInstanceOf(RangeError))
    const loaded = async (other = store) => (await other.get('id')) as Data
    return { ...opened, clock, write, loaded, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() }
  }

  it('is written when that was rolled back and it is set again in another one, and not when it is set outside', async () => {
    await using opened = await open()
    const { store, write, loaded } = opened
    await store.set('id', handMade())
    const session = Object.assign(await loaded(), { user: 'ada' })
    await write(session, false)
    expect(await loaded()).not.toHaveProperty('user')
    // As express-session does at the end of a request: the rows were rolled back, and the session with them.
    await store.set('id', session)
    expect(await loaded()).not.toHaveProperty('user')
    await write(session, false)
    await write(session, true)
    expect(await loaded()).toMatchObject({ user: 'ada' })
    expect(await store.countOf('ada')).toBe(1)
  })

  it('is written with what was changed since, and with what another request has changed', async () => {
    await using opened = await open()
    const { store, write, loaded } = opened
    await store.set('id', handMade())
    const session = Object.assign(await loaded(), { user: 'ada' })
    await write(session, false)
    await store.set('id', Object.assign(await loaded(), { theme: 'dark' }))
    await write(Object.assign(session, { cart: 1 }), true)
    expect(await loaded()).toMatchObject({ user: 'ada', cart: 1, theme: 'dark' })
  })

  it('is written though it was new', async () => {
    await using opened = await open()
    const { write, loaded } = opened
    const session = handMade({ user: 'ada' })
    for (let tries = 0; tries < 3; tries++) await write(session, false)
    expect(await loaded()).toBeNull()
    await write(session, true)
    expect(await loaded()).toMatchObject({ user: 'ada' })
  })

  it('is written however many were rolled back before', async () => {
    await using opened = await open()
    const { store, write, loaded } = opened
    await store.set('id', handMade())
    const session = Object.assign(await loaded(), { user: 'ada' })
    for (let tries = 0; tries < 3; tries++) await write(session, false)
    await write(session, true)
    await write(Object.assign(session, { cart: 1 }), false)
    await write(Object.assign(session, { cart: 2 }), false)
    await write(session, true)
    expect(await loaded()).toMatchObject({ user: 'ada', cart: 2 })
  })

  it('is written after a savepoint was rolled back', async () => {
    await using opened = await open()
    const { store, knex, loaded } = opened
    await store.set('id', handMade())
    const session = Object.assign(await loaded(), { user: 'ada' })
    await knex.transaction(async (trx) => {
      await trx
        .transaction(async (nested) => {
          await store.withTransaction(nested).set('id', session)
          throw new RangeError('on purpose')
        })
        .catch((error) => expect(error).toBeInstanceOf(RangeError))
      await store.withTransaction(trx).set('id', session)
    })
    expect(await loaded()).toMatchObject({ user: 'ada' })
  })

  it('conflicts with nothing when that was committed, and stays ended if it has ended since', async () => {
    await using opened = await open({ conflict: 'error' })
    const { store, write, loaded } = opened
    await store.set('id', handMade())
    const session = Object.assign(await loaded(), { user: 'ada' })
    await write(session, true)
    await write(Object.assign(session, { cart: 1 }), true)
    await store.set('id', Object.assign(session, { cart: 2 }))
    expect(await loaded()).toMatchObject({ user: 'ada', cart: 2 })
    await write(Object.assign(session, { cart: 3 }), true)
    await store.destroy('id')
    await store.set('id', Object.assign(session, { cart: 4 }))
    await write(Object.assign(session, { cart: 5 }), true)
    expect(await loaded()).toBeNull()
  })
})
