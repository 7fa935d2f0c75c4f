import type { Knex } from 'knex'
import { expect } from 'vitest'
import { createSessionsTable, dropSessionsTable, KnexSessionStore } from '../../lib'
import { UNKNOWN_REVISION } from '../../lib/dialects/dialect'
import { detectDialect } from '../../lib/dialects/drivers'
import { DEFAULT_COLUMNS } from '../../lib/dialects/table-definition'
import { Database } from '../../lib/knex/database'
import type { RecordToPut } from '../../lib/record/session-record'
import { handMade } from '../support/stores'

const HOUR = 3_600_000
/** Enough that each row has a number of its own, and that the numbers are not looked up one by one. */
const MANY = 12

const range = (length: number) => Array.from({ length }, (_, index) => index)
const orUnknown = (revision: number) => expect.toSatisfy((answer) => answer === revision || answer === UNKNOWN_REVISION)

/**
 * Makes a sessions table, runs every statement on it, alone and for many rows, and drops it. What was written is looked for over
 * `observer`, another connection, which sees only what was committed; undefined where there is none. `mayTransact`: false where Knex itself
 * cannot begin a transaction.
 */
export async function tour(knex: Knex, observer: Knex | undefined, tableName: string, { mayTransact = true } = {}): Promise<void> {
  const dialect = detectDialect(knex, { prepare: true, durability: 'sets' })
  const definition = { tableName, schemaName: undefined, version: 1, columns: DEFAULT_COLUMNS }
  const statements = dialect.statements(definition)
  const db = Database.of(knex, 20_000)
  const seen = observer === undefined ? db : Database.of(observer, 20_000)
  const now = Date.now()
  const later = now + HOUR
  const record = (id: string, changes: Partial<RecordToPut> = {}): RecordToPut => {
    return { id, data: `{"text":"it's \\\\ \\"${id}\\" € 😀 %_?"}`, expiresAt: later, ownerId: null, createdAt: now, ...changes }
  }
  const names = range(MANY).map((index) => `row-${index} ${index % 2 ? "'" : '\\'}`)
  const name = (index: number) => names[index] as string
  /** As both connections see the rows. */
  const load = async (ids: readonly string[]) => {
    const [rows, same] = [await statements.load(seen, ids), await statements.load(db, ids)]
    expect(new Map(same.map((row) => [row.id, row]))).toEqual(new Map(rows.map((row) => [row.id, row])))
    return ids.map((id) => rows.find((row) => row.id === id) ?? null)
  }

  await createSessionsTable(knex, { tableName })
  // Made before: looks and leaves it.
  await createSessionsTable(knex, { tableName })
  expect((await dialect.describe(db, definition))?.columns.map(({ name }) => name)).toEqual(Object.values(DEFAULT_COLUMNS))

  await statements.insert(db, [record(name(0), { ownerId: 'ada' })], now)
  await statements.insert(
    db,
    names.map((id) => record(id, { data: 'second' })),
    now
  )
  expect((await load(names)).map((row) => row?.data)).toEqual([record(name(0)).data, ...range(MANY - 1).map(() => 'second')])

  expect(await statements.put(db, [record(name(0))], now)).toEqual([orUnknown(2)])
  expect(
    await statements.put(
      db,
      names.map((id) => record(id)),
      now
    )
  ).toEqual(names.map((_, index) => orUnknown(index === 0 ? 3 : 2)))
  expect((await load(names)).map((row) => row?.data)).toEqual(names.map((id) => record(id).data))
  expect(await statements.put(db, [record('new')], now)).toEqual([1])
  await statements.put(seen, [record('new', { data: 'of another connection' })], now)
  expect(await load(['new'])).toMatchObject([{ data: 'of another connection' }])

  const updates = names.map((id, index) => ({
    id,
    revision: index === 0 ? 3 : 2,
    data: `updated ' \\ € 😀 ${index}`,
    expiresAt: later + index * HOUR,
    ownerId: index % 3 === 0 ? null : `owner' \\ ${index}`
  }))
  expect(await statements.update(db, updates.slice(0, 1), now)).toEqual([true])
  expect(await statements.update(db, updates.slice(0, 1), now)).toEqual([false])
  // Half of them are out of date: the first.
  expect(await statements.update(db, updates, now)).toEqual(names.map((_, index) => index > 0))
  const again = updates.map((update, index) => ({
    ...update,
    revision: index === 0 ? 4 : 3,
    expiresAt: later + (MANY - index) * HOUR,
    isExpiryExact: true,
    createdAt: index % 2 === 0 ? null : now + index
  }))
  expect(await statements.updateWithLife(db, again.slice(1), now)).toEqual(names.slice(1).map(() => true))
  expect(await statements.updateWithLife(db, again.slice(0, 1), now)).toEqual([true])
  expect(await load(names)).toEqual(
    names.map((id, index) => ({
      id,
      data: updates[index]?.data,
      expiresAt: later + (MANY - index) * HOUR,
      revision: index === 0 ? 5 : 4,
      createdAt: index % 2 === 0 ? now : now + index,
      ownerId: updates[index]?.ownerId
    }))
  )

  expect(await statements.touch(db, [{ id: name(1), expiresAt: later + 100 * HOUR }], now)).toBe(1)
  const touches = names.map((id, index) => ({ id, expiresAt: later + (index % 4) * 7 * HOUR }))
  expect(await statements.touch(db, [...touches, { id: 'missing', expiresAt: later }], now)).toBe(MANY)
  expect((await load(names)).map((row) => row?.expiresAt)).toEqual(
    names.map((_, index) => (index === 1 ? later + 100 * HOUR : later + Math.max(MANY - index, (index % 4) * 7) * HOUR))
  )

  await statements.remove(db, [name(0)], 1)
  await statements.remove(db, [name(1), name(2), 'missing'], 1)
  expect((await load(names.slice(0, 4))).map((row) => row && [row.expiresAt, row.revision])).toEqual([
    [0, 6],
    [0, 5],
    [0, 5],
    [expect.any(Number), 4]
  ])
  expect(await statements.putUnlessDead(db, [record(name(0))], now)).toEqual([null])
  expect(await statements.putUnlessDead(db, [record(name(3))], now)).toEqual([orUnknown(5)])
  expect(await statements.putUnlessDead(db, [record('newer')], now)).toEqual([1])
  expect(
    await statements.putUnlessDead(
      db,
      names.map((id) => record(id)),
      now
    )
  ).toEqual(names.map((_, index) => (index < 3 ? null : orUnknown(index === 3 ? 6 : 5))))

  expect(await statements.claim(db, 'lease', 60_000)).toBe(true)
  expect(await statements.claim(db, 'lease', 60_000)).toBe(false)
  // The dead ones, by the clock of the database: not yet, and now.
  await statements.put(db, [record('ended', { expiresAt: now - HOUR })], now)
  expect(await statements.prune(db, 2 * HOUR, 1000, now)).toBe(3)
  expect(await statements.prune(db, 0, 1000, now)).toBe(1)
  expect(await load(['ended', 'new', name(0)])).toMatchObject([null, { id: 'new' }, null])

  const store = new KnexSessionStore({ knex, tableName, pruneIntervalMs: false, storedId: 'plain', prefix: 'p:' })
  await store.set('a', handMade({ a: 1 }))
  await (mayTransact
    ? knex.transaction((trx) => store.withTransaction(trx).set('b', handMade({ b: 2 })))
    : store.set('b', handMade({ b: 2 })))
  expect([await store.get('a'), await store.get('b')]).toMatchObject([{ a: 1 }, { b: 2 }])
  expect(await store.ids()).toEqual(['a', 'b'])
  expect(await store.all()).toHaveLength(2)
  expect(await store.length()).toBe(2)
  await store.clear()
  expect(await load(['p:a', 'p:b'])).toMatchObject([{ expiresAt: 0 }, { expiresAt: 0 }])
  await store.close()

  await dropSessionsTable(knex, { tableName })
  expect(await dialect.describe(db, definition)).toBeNull()
}
