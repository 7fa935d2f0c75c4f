import { join } from 'node:path'
import session from 'express-session'
import { describe, expect, it, vi } from 'vitest'
import { KnexSessionStore } from '../lib'
import type { Input, Output } from './assemble.worker.mts'
import { databaseNamed } from './support/databases'
import { runProcess } from './support/processes'
import { Clock, describeStores, handMade, openStore, StatementLog, shareDatabase } from './support/stores'

const WORKER = join(__dirname, 'assemble.worker.mts')

interface Pool {
  numUsed(): number
}
const usedOf = (knex: { client: unknown }) => (knex.client as { pool: Pool }).pool.numUsed()

describeStores('stores of one Knex and table', (kind) => {
  const database = shareDatabase(kind)

  it('send together what they are asked together', async () => {
    await using opened = await openStore(database())
    const stores = [opened.store, ...Array.from({ length: 9 }, () => opened.another())]
    await opened.store.ready()
    expect(await Promise.all(stores.map((store, number) => store.get(`id ${number}`)))).toEqual(Array(10).fill(null))
    // Reads go in two halves where the database is another process.
    expect(opened.store.stats().statements.get).toMatchObject({ calls: kind.name === 'sqlite' ? 1 : 2, rows: 10 })
  })

  it('see the writes that another of them is asked for before', async () => {
    await using opened = await openStore(database())
    const other = opened.another()
    opened.store.set('id', handMade({ user: 'ada' }))
    expect(await other.get('id')).toMatchObject({ user: 'ada' })
    opened.store.destroy('id')
    expect(await other.get('id')).toBeNull()
  })

  it('never share a decoded session', async () => {
    await using opened = await openStore(database())
    await opened.store.set('id', handMade({ cart: ['book'] }))
    const [one, other] = (await Promise.all([opened.store.get('id'), opened.another().get('id')])) as unknown as { cart: string[] }[]
    one?.cart.push('changed')
    expect(other?.cart).toEqual(['book'])
    expect(other).not.toBe(one)
  })

  it('have each their own clock', async () => {
    await using opened = await openStore(database())
    const tomorrow = new Clock(Date.now() + 86_400_000)
    const ahead = opened.another({ clock: tomorrow.read })
    await opened.store.set('id', handMade({}, { expires: new Date(Date.now() + 60_000) }))
    expect(await ahead.get('id')).toBeNull()
    expect(await ahead.length()).toBe(0)
    expect(await opened.store.get('id')).not.toBeNull()
  })

  it('follow the fake time of a test that began after them, and the real one after it', async () => {
    await using opened = await openStore(database())
    await opened.store.set('id', handMade({}, { expires: new Date(Date.now() + 60_000) }))
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 61_000 })
    try {
      expect(await opened.store.get('id')).toBeNull()
      expect(await opened.another().length()).toBe(0)
    } finally {
      vi.useRealTimers()
    }
    expect(await opened.store.get('id')).not.toBeNull()
    expect(await opened.another().length()).toBe(1)
  })
})

describeStores('the connections of the application', (kind) => {
  it('are used by no more than maxConnections at once, whatever is asked, and by none when all is answered', async () => {
    await using opened = await openStore(
      kind,
      { maxConnections: 3, storedId: 'plain' },
      { knex: { pool: { min: 0, max: kind.name === 'sqlite' ? 1 : 10 } } }
    )
    const { knex, store } = opened
    const stores = [
      store,
      opened.another({ maxConnections: 2, batch: false }),
      opened.another({ tableName: 'elsewhere', pruneBatchSize: 1 })
    ]
    let most = 0
    knex.on('query', () => {
      most = Math.max(most, usedOf(knex))
    })
    const calls = stores.flatMap((one) =>
      Array.from({ length: 60 }, (_, number) => {
        const id = `id ${number}`
        return [one.set(id, handMade({ number })), one.get(id), one.touch(id, handMade()), one.destroy(`other ${id}`)]
      }).flat()
    )
    const rest = stores.flatMap((one) => [one.all(), one.ids(), one.length(), one.prune(), one.ready(), one.clear(), one.health()])
    await Promise.all<unknown>([...calls, ...rest])
    // The smallest of what the stores on this Knex have promised.
    expect(most).toBeGreaterThan(0)
    expect(most).toBeLessThanOrEqual(2)
    // Those that the last answers gave back are kept for the rest of the turn.
    await new Promise((resolve) => setImmediate(resolve))
    expect(usedOf(knex)).toBe(0)
  })

  it('are none but the one of the transaction, inside it', async () => {
    await using opened = await openStore(kind, {}, { knex: { pool: { min: 0, max: 1 } } })
    const { knex, store } = opened
    await store.ready()
    await knex.transaction(async (trx) => {
      const inside = store.withTransaction(trx)
      await Promise.all(Array.from({ length: 20 }, (_, number) => inside.set(`id ${number}`, handMade({ number }))))
      expect(await inside.length()).toBe(20)
      await inside.clear()
      expect(await inside.all()).toEqual([])
    })
  })

  it('suffice if there is but one', async () => {
    await using opened = await openStore(kind, {}, { knex: { pool: { min: 0, max: 1 } } })
    const { store, knex } = opened
    const ids = Array.from({ length: 50 }, (_, number) => `id ${number}`)
    await Promise.all(ids.map((id) => store.set(id, handMade({ id }))))
    const answers = await Promise.all([...ids.map((id) => store.get(id)), knex.raw('SELECT 1'), store.length(), store.prune(), store.all()])
    expect(answers.slice(0, 50)).toEqual(ids.map((id) => expect.objectContaining({ id })))
    expect(answers[51]).toBe(50)
  })
})

describeStores('an application', (kind) => {
  const database = shareDatabase(kind)

  it('ends by itself when its Knex is closed, though nobody has closed the store', async () => {
    const input: Input = { config: database().config, does: 'serves, and closes its Knex alone' }
    const { output, error, exitCode, signal } = await runProcess<Input, Output>(WORKER, input)
    expect({ error, exitCode, signal }).toEqual({ error: undefined, exitCode: 0, signal: null })
    expect(Date.now() - (output?.doneAt ?? 0)).toBeLessThan(15_000)
    expect(output?.warnings).toEqual([])
  })
})

describe('an application, on any database', () => {
  it('may be built ten thousand times: what is forgotten is gone', { timeout: 120_000 }, async () => {
    await using database = await databaseNamed('sqlite').open()
    const input: Input = { config: database.config, does: 'builds many apps and forgets them' }
    const { output, error } = await runProcess<Input, Output>(WORKER, input, { execArgv: ['--expose-gc'], timeoutMs: 110_000 })
    expect(error).toBeUndefined()
    expect(output?.kept).toBeLessThanOrEqual(2)
    expect(output?.warnings).toEqual([])
  })
})

describe('a store', () => {
  it('may be shared by thirty applications without a warning', async () => {
    const { default: createKnex } = await import('knex')
    const warnings: Error[] = []
    const listener = (warning: Error) => warnings.push(warning)
    process.on('warning', listener)
    const store = new KnexSessionStore({ knex: createKnex({ client: 'pg' }) })
    for (let app = 0; app < 30; app++) session({ store, secret: 'secret', resave: false, saveUninitialized: false })
    await new Promise((resolve) => setImmediate(resolve))
    process.off('warning', listener)
    expect(warnings).toEqual([])
    expect(store.listenerCount('disconnect')).toBe(30)
  })
})

describeStores('the log of queries', (kind) => {
  it('has every statement of the store', async () => {
    await using opened = await openStore(kind)
    const log = new StatementLog(opened.knex)
    await opened.store.set('id', handMade())
    await opened.store.get('id')
    await opened.store.destroy('id')
    expect(log.statements.join('\n')).toMatch(/create table[\s\S]*insert into[\s\S]*select[\s\S]*update/i)
  })
})
