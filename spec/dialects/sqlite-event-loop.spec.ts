import { expect, it } from 'vitest'
import { GRACE_MS } from '../../lib/table/session-table'
import { describeDatabase } from '../support/databases'
import { handMade, type OpenStore, openStore } from '../support/stores'

const HOUR = 3_600_000
const DAY = 24 * HOUR
/** Without parts, each of these takes several times as long, also on a fast machine. */
const LONG_MS = 200

/** Rows written by the database itself. Nothing of a row but its size and its expiry matters here. */
async function fill({ knex, tableName, store }: OpenStore, count: number, { expiresAt, bytes }: { expiresAt: number; bytes: number }) {
  await store.ready()
  const session = JSON.stringify({ cookie: { originalMaxAge: DAY }, filler: 'x'.repeat(bytes) })
  const [first] = await knex(tableName).count({ rows: '*' })
  await knex.raw(
    `INSERT INTO ${tableName} (id, data, expires_at, expires_hour, revision, created_at, last_seen_at)
     WITH RECURSIVE n(n) AS (SELECT ? UNION ALL SELECT n + 1 FROM n WHERE n < ?)
     SELECT substr(hex(n * 2654435761 % 4294967296) || printf('%043d', n), 1, 43), ?, ?, ?, 1, 1, 1 FROM n`,
    [Number(first?.rows), Number(first?.rows) + count - 1, session, expiresAt, Math.ceil(expiresAt / HOUR)]
  )
}

/** Processor time of this thread, in milliseconds: that of other processes on the machine is not ours. */
function cpuMs(): number {
  const { user, system } = process.threadCpuUsage?.() ?? process.cpuUsage()
  return (user + system) / 1000
}

/** What another call had to wait for at most while the work was under way, in milliseconds, and how many were answered. */
async function othersWhile(store: OpenStore['store'], work: () => Promise<unknown>): Promise<{ longestMs: number; answered: number }> {
  await store.get('of another')
  let isOver = false
  const over = work().finally(() => {
    isOver = true
  })
  let longestMs = 0
  let answered = 0
  while (!isOver) {
    const begin = cpuMs()
    await store.get('of another')
    await new Promise(setImmediate)
    longestMs = Math.max(longestMs, cpuMs() - begin)
    answered++
  }
  await over
  return { longestMs, answered }
}

describeDatabase('sqlite', 'the event loop', (kind) => {
  const long = { timeout: 60_000 }
  const alive = () => Date.now() + DAY
  const expired = () => Date.now() - DAY
  /** The end of the hour in which a row is now pruned, or not yet. */
  const endOfThisHour = () => Math.ceil((Date.now() - GRACE_MS) / HOUR) * HOUR

  it('goes on while 200,000 expired rows are pruned', long, async () => {
    await using opened = await openStore(kind)
    await fill(opened, 200_000, { expiresAt: expired(), bytes: 200 })
    let pruned = 0
    const { longestMs, answered } = await othersWhile(opened.store, async () => {
      pruned = await opened.store.prune()
    })
    expect(pruned).toBe(200_000)
    expect(longestMs).toBeLessThan(LONG_MS)
    // In one piece, one or two calls would be answered. In how many pieces depends on how fast the machine is.
    expect(answered).toBeGreaterThan(5)
  })

  it('goes on while the timer prunes', long, async () => {
    await using opened = await openStore(kind)
    await fill(opened, 100_000, { expiresAt: expired(), bytes: 200 })
    const pruning = opened.another({ pruneIntervalMs: 10, pruneBatchSize: 50_000 })
    const { longestMs, answered } = await othersWhile(opened.store, async () => {
      await pruning.get('any')
      while (Number((await opened.knex(opened.tableName).count({ rows: '*' }))[0]?.rows) > 1) await new Promise(setImmediate)
    })
    expect(longestMs).toBeLessThan(LONG_MS)
    // In one piece, one or two calls would be answered. In how many pieces depends on how fast the machine is.
    expect(answered).toBeGreaterThan(5)
  })

  it('goes on while large rows are pruned in large batches', long, async () => {
    await using opened = await openStore(kind, { pruneBatchSize: 100_000 })
    await fill(opened, 10_000, { expiresAt: expired(), bytes: 20_000 })
    const { longestMs, answered } = await othersWhile(opened.store, () => opened.store.prune())
    expect(longestMs).toBeLessThan(LONG_MS)
    // In one piece, one or two calls would be answered. In how many pieces depends on how fast the machine is.
    expect(answered).toBeGreaterThan(5)
  })

  it('goes on while pruning looks for expired rows among those that end within this hour', long, async () => {
    await using opened = await openStore(kind)
    await fill(opened, 600_000, { expiresAt: endOfThisHour(), bytes: 50 })
    // Searched at once, all of them take a moment that is too short to be told by time from what a busy machine adds. So parts are counted.
    const { answered } = await othersWhile(opened.store, () => opened.store.prune())
    expect(answered).toBeGreaterThan(100)
  })

  it('goes on, and pruning finds all that ended within this hour, in whatever order they were written', long, async () => {
    await using opened = await openStore(kind)
    const { knex, tableName, store } = opened
    await fill(opened, 20_000, { expiresAt: endOfThisHour(), bytes: 10 })
    const ended = endOfThisHour() - HOUR + 1
    await knex.raw(`UPDATE ${tableName} SET expires_at = ? WHERE rowid % 3 = 1 OR rowid > 19000`, [ended])
    const [left] = await knex(tableName).where('expires_at', '>', ended).count({ rows: '*' })
    const { longestMs } = await othersWhile(store, async () => expect(await store.prune()).toBe(20_000 - Number(left?.rows)))
    expect(longestMs).toBeLessThan(LONG_MS)
    expect((await knex(tableName).count({ rows: '*' }))[0]).toEqual(left)
    // One that ends later, behind what has been searched.
    await knex.raw(`UPDATE ${tableName} SET expires_at = ? WHERE rowid = 3`, [ended])
    expect(await store.prune()).toBe(1)
  })

  for (const [title, expiresAt, bytes] of [
    ['50,000 sessions', alive, 200],
    ['5,000 large sessions', alive, 20_000],
    ['100,000 rows of sessions that ended', expired, 200]
  ] as const) {
    for (const method of ['all', 'ids', 'length', 'clear'] as const) {
      it(`goes on while ${method}() goes through ${title}`, long, async () => {
        await using opened = await openStore(kind)
        const count = Number(title.split(' ')[0]?.replace(',', ''))
        await fill(opened, count, { expiresAt: expiresAt(), bytes })
        let answer: unknown
        const { longestMs } = await othersWhile(opened.store, async () => {
          answer = await opened.store[method]()
        })
        const found = Array.isArray(answer) ? answer.length : answer
        if (method !== 'clear') expect(found).toBe(expiresAt === alive ? count : 0)
        else expect(await opened.store.length()).toBe(0)
        expect(longestMs).toBeLessThan(LONG_MS)
      })
    }
  }

  it('goes on while a thousand sessions are set at once', long, async () => {
    await using opened = await openStore(kind)
    const sets = () => Promise.all(Array.from({ length: 1000 }, (_, number) => opened.store.set(`${number}`, handMade({ number }))))
    expect((await othersWhile(opened.store, sets)).longestMs).toBeLessThan(LONG_MS)
  })
})
