import { expect, it } from 'vitest'
import type { Database } from './support/databases'
import { describeStores, handMade, openStore, shareDatabase } from './support/stores'

const TIMEOUT_MS = 300

/** As a breakpoint, SIGSTOP or a long computation does: nothing of this process runs meanwhile, while the database goes on. */
function standStill(ms: number): void {
  // Asleep, so that the processor is left to the database.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

/** Until what was asked for is on its way to the server. */
const sent = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)))

describeStores('a process that stands still for longer than timeoutMs', (kind: Database) => {
  const database = shareDatabase(kind)

  it('gets the answer that has arrived meanwhile, and keeps its connection', async () => {
    const knex = database().connect({ pool: { min: 0, max: 1 } })
    await using opened = await openStore(database(), { knex, timeoutMs: TIMEOUT_MS })
    const { store } = opened
    await opened.another().set('a', handMade({ user: 'ada' }))
    await store.ready()
    const before = (await connections(knex)).join()
    const get = store.get('a')
    await sent()
    standStill(5 * TIMEOUT_MS)
    expect(await get).toMatchObject({ user: 'ada' })
    const set = store.set('b', handMade({ user: 'bob' }))
    await sent()
    standStill(5 * TIMEOUT_MS)
    await set
    expect((await connections(knex)).join()).toBe(before)
  })

  it('gets the answers of calls that had no statement yet when it stopped', async () => {
    await using opened = await openStore(database(), { timeoutMs: TIMEOUT_MS })
    const { store } = opened
    const patient = opened.another()
    await patient.set('a', handMade({ user: 'ada' }))
    await store.ready()
    // The connections are made: to make one takes more than a moment on a busy machine.
    await Promise.all(Array.from({ length: 100 }, (_, index) => patient.get(`${index}`)))
    const gets = Array.from({ length: 2000 }, (_, index) => store.get(index % 2 === 0 ? 'a' : `${index}`))
    await sent()
    standStill(5 * TIMEOUT_MS)
    expect((await Promise.all(gets)).filter((found) => found !== null)).toHaveLength(1000)
  })

  async function connections(knex: { client: { acquireConnection(): Promise<unknown>; releaseConnection(connection: unknown): unknown } }) {
    const connection = (await knex.client.acquireConnection()) as { __knexUid: string }
    await knex.client.releaseConnection(connection)
    return [connection.__knexUid]
  }
})
