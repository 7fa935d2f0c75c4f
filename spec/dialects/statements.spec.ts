import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { UNKNOWN_REVISION } from '../../lib/dialects/dialect'
import type { RecordToPut, SessionRecord } from '../../lib/record/session-record'
import { databaseNamed, databasesAndPglite } from '../support/databases'
import { runProcesses } from '../support/processes'
import { type OpenedSetup, type OpenedStatements, openSetup, refusalOf, SETUPS, type Setup } from './opened-statements'
import type { Input, Output } from './statements.worker.mts'

const HOUR = 3_600_000
const NOW = Date.now()
const LATER = NOW + HOUR
const BATCH = 256

/** A row under a name of a kind, to tell hits from misses. */
function record(id: string, changes: Partial<RecordToPut> = {}): RecordToPut {
  return { id, data: `{"of":"${id}"}`, expiresAt: LATER, ownerId: null, createdAt: NOW, ...changes }
}

const range = (length: number) => Array.from({ length }, (_, index) => index)
const name = (index: number) => `row-${String(index).padStart(3, '0')}`
const records = (length = BATCH, changes: Partial<RecordToPut> = {}) => range(length).map((index) => record(name(index), changes))

/** A database that does not tell the revisions of many rows may say so, but never a wrong one. */
const orUnknown = (revision: number) => expect.toSatisfy((answer) => answer === revision || answer === UNKNOWN_REVISION)

/** Every row there is, by its id. */
async function rowsOf({ statements, db, dialect, name: table, column }: OpenedStatements): Promise<Map<string, SessionRecord>> {
  const ids = await dialect.select(db, `SELECT ${dialect.text(column('id'))} FROM ${table}`, [])
  const found = await statements.load(
    db,
    ids.map(([id]) => id as string)
  )
  return new Map(found.map((row) => [row.id, row]))
}

async function columnOf({ db, dialect, name: table, column }: OpenedStatements, key: 'ownerId' | 'expiresHour'): Promise<unknown[]> {
  const rows = await dialect.select(db, `SELECT ${dialect.text(column(key))} FROM ${table} ORDER BY ${column('id')}`, [])
  return rows.map(([value]) => value)
}

const HOSTILE = [
  "it's",
  'say "so"',
  '`tick`',
  'back\\slash',
  "back\\'quote",
  '100%',
  '_',
  '? and :name and ??',
  'new\nline\r\ttab\u001a',
  '; DROP TABLE sessions --',
  '/* comment',
  'a',
  'A',
  'a ',
  'a  ',
  ' a',
  'ä',
  'Ä',
  'a\u0308',
  'ß',
  'ss',
  'ı',
  'İ',
  '日本語',
  '€',
  '\u2028',
  '\ufeff',
  '\uffff',
  '😀',
  '👨‍👩‍👧',
  '0',
  '00',
  '1e0',
  'null',
  'x'.repeat(255)
]

const HOSTILE_NAMES = {
  tableName: `Se"ss'io\`ns. {Täble} \\ €`,
  columns: {
    id: 'select',
    data: 'da"ta',
    expiresAt: "ex'pires",
    expiresHour: 'ex`pires.hour',
    revision: '1',
    ownerId: 'Owner  ID',
    createdAt: 'créé \\',
    lastSeenAt: 'vu "dernier"'
  }
}

function describeStatements(setup: Setup): void {
  // PGlite's own decoder of texts drops a byte order mark at their beginning.
  const hostile = setup.database === 'pglite' ? HOSTILE.filter((text) => !text.startsWith('\ufeff')) : HOSTILE
  let setUp: OpenedSetup
  beforeAll(async () => {
    setUp = await openSetup(setup)
  })
  afterAll(() => setUp[Symbol.asyncDispose]())

  it('load gives of many the rows there are, dead or alive', async () => {
    const opened = await setUp.table()
    const { statements, db } = opened
    await statements.put(db, records(BATCH / 2), NOW)
    await statements.remove(db, [name(0)], 1)
    const found = await statements.load(db, range(BATCH).map(name))
    expect(new Set(found.map(({ id }) => id))).toEqual(new Set(range(BATCH / 2).map(name)))
    const byId = new Map(found.map((row) => [row.id, row]))
    expect(byId.get(name(0))).toEqual({ id: name(0), data: '{}', expiresAt: 0, revision: 2, createdAt: NOW, ownerId: null })
    expect(byId.get(name(1))).toEqual({
      id: name(1),
      data: `{"of":"${name(1)}"}`,
      expiresAt: LATER,
      revision: 1,
      createdAt: NOW,
      ownerId: null
    })
  })

  it('insert leaves what is there', async () => {
    const opened = await setUp.table()
    const { statements, db } = opened
    await statements.put(db, records(10), NOW)
    await statements.remove(db, [name(3)], 1)
    await statements.insert(db, records(20, { data: 'other' }), NOW)
    const rows = await rowsOf(opened)
    expect(rows.size).toBe(20)
    expect(rows.get(name(1))).toMatchObject({ data: `{"of":"${name(1)}"}`, revision: 1 })
    expect(rows.get(name(3))).toMatchObject({ data: '{}', expiresAt: 0, revision: 2 })
    expect(rows.get(name(11))).toMatchObject({ data: 'other', revision: 1 })
  })

  it('put answers the revision of each of many, new and overwritten', async () => {
    const opened = await setUp.table()
    const { statements, db } = opened
    expect(await statements.put(db, records(), NOW)).toEqual(range(BATCH).map(() => 1))
    const mixed = range(BATCH).map((index) => record(index % 2 === 0 ? name(index) : `new-${index}`, { data: 'again', createdAt: NOW + 5 }))
    expect(await statements.put(db, mixed, NOW)).toEqual(range(BATCH).map((index) => orUnknown(index % 2 === 0 ? 2 : 1)))
    expect(await statements.put(db, mixed.slice(0, 2), NOW)).toEqual([orUnknown(3), orUnknown(2)])
    expect(await statements.put(db, mixed.slice(0, 1), NOW)).toEqual([4])
    expect(await statements.put(db, [record('one more')], NOW)).toEqual([1])
    const rows = await rowsOf(opened)
    expect(rows.get(name(4))).toEqual({ id: name(4), data: 'again', expiresAt: LATER, revision: 2, createdAt: NOW, ownerId: null })
    expect(rows.get('new-5')).toEqual({ id: 'new-5', data: 'again', expiresAt: LATER, revision: 1, createdAt: NOW + 5, ownerId: null })
  })

  it('put over a dead row begins its life anew', async () => {
    const opened = await setUp.table()
    const { statements, db } = opened
    await statements.put(db, [record('dead', { expiresAt: NOW }), record('removed')], NOW)
    await statements.remove(db, ['removed'], 1)
    await statements.put(db, [record('dead', { createdAt: NOW + 1 }), record('removed', { createdAt: NOW + 1 })], NOW)
    const rows = await rowsOf(opened)
    expect([...rows.values()].map(({ createdAt, expiresAt }) => ({ createdAt, expiresAt }))).toEqual([
      { createdAt: NOW + 1, expiresAt: LATER },
      { createdAt: NOW + 1, expiresAt: LATER }
    ])
  })

  it('putUnlessDead tells of many which are dead, and leaves them', async () => {
    const opened = await setUp.table()
    const { statements, db } = opened
    const kind = (index: number) => (['new', 'alive', 'expired', 'removed'] as const)[index % 4]
    const existing = range(BATCH).filter((index) => kind(index) !== 'new')
    await statements.put(
      db,
      existing.map((index) => record(name(index), kind(index) === 'expired' ? { expiresAt: NOW } : {})),
      NOW
    )
    await statements.remove(
      db,
      range(BATCH)
        .filter((index) => kind(index) === 'removed')
        .map(name),
      1
    )
    const answers = await statements.putUnlessDead(db, records(BATCH, { data: 'again', ownerId: 'ada', createdAt: NOW + 9 }), NOW)
    expect(answers).toEqual(range(BATCH).map((index) => ({ new: 1, alive: 2, expired: null, removed: null })[kind(index) as 'new']))
    const alone = ['alone', name(1), name(2), name(3)].map((id) => record(id, { data: 'alone' }))
    for (const [index, revision] of [1, 3, null, null].entries()) {
      expect(await statements.putUnlessDead(db, alone.slice(index, index + 1), NOW)).toEqual([revision])
    }
    expect(await statements.putUnlessDead(db, alone.slice(0, 2), NOW)).toEqual([orUnknown(2), orUnknown(4)])
    const rows = await rowsOf(opened)
    expect(rows.get(name(0))).toEqual({ id: name(0), data: 'again', expiresAt: LATER, revision: 1, createdAt: NOW + 9, ownerId: 'ada' })
    expect(rows.get(name(1))).toEqual({ id: name(1), data: 'alone', expiresAt: LATER, revision: 4, createdAt: NOW, ownerId: null })
    expect(rows.get(name(2))).toEqual({
      id: name(2),
      data: `{"of":"${name(2)}"}`,
      expiresAt: NOW,
      revision: 1,
      createdAt: NOW,
      ownerId: null
    })
    expect(rows.get(name(3))).toEqual({ id: name(3), data: '{}', expiresAt: 0, revision: 2, createdAt: NOW, ownerId: null })
    expect((await columnOf(opened, 'ownerId')).slice(1, 5)).toEqual(['ada', null, null, null])
  })

  it('update tells of many which it hit: alive, and at the revision that was loaded', async () => {
    const opened = await setUp.table()
    const { statements, db } = opened
    const kind = (index: number) => (['hit', 'newer', 'expired', 'removed', 'missing', 'hit'] as const)[index % 6]
    const existing = range(BATCH).filter((index) => kind(index) !== 'missing')
    await statements.put(
      db,
      existing.map((index) => record(name(index), kind(index) === 'expired' ? { expiresAt: NOW } : {})),
      NOW
    )
    await statements.remove(
      db,
      range(BATCH)
        .filter((index) => kind(index) === 'removed')
        .map(name),
      1
    )
    const updates = range(BATCH).map((index) => ({
      id: name(index),
      revision: kind(index) === 'newer' ? 7 : 1,
      data: `again-${index}`,
      // Every other one ends earlier than it does.
      expiresAt: LATER + (index % 2 === 0 ? index * HOUR : -1),
      ownerId: index % 12 === 0 ? `owner-${index}` : null
    }))
    expect(await statements.update(db, updates, NOW)).toEqual(range(BATCH).map((index) => kind(index) === 'hit'))
    const rows = await rowsOf(opened)
    expect(rows.size).toBe(existing.length)
    expect(rows.get(name(0))).toEqual({ id: name(0), data: 'again-0', expiresAt: LATER, revision: 2, createdAt: NOW, ownerId: 'owner-0' })
    expect(rows.get(name(5))).toEqual({ id: name(5), data: 'again-5', expiresAt: LATER, revision: 2, createdAt: NOW, ownerId: null })
    expect(rows.get(name(12))).toEqual({
      id: name(12),
      data: 'again-12',
      expiresAt: LATER + 12 * HOUR,
      revision: 2,
      createdAt: NOW,
      ownerId: 'owner-12'
    })
    expect(rows.get(name(7))).toEqual({
      id: name(7),
      data: `{"of":"${name(7)}"}`,
      expiresAt: LATER,
      revision: 1,
      createdAt: NOW,
      ownerId: null
    })
    expect(rows.get(name(2))).toMatchObject({ data: `{"of":"${name(2)}"}`, revision: 1 })
    expect(rows.get(name(3))).toMatchObject({ data: '{}', expiresAt: 0, revision: 2 })
    const owners = await columnOf(opened, 'ownerId')
    expect(owners.filter((owner) => owner !== null)).toEqual(
      range(BATCH)
        .filter((index) => index % 12 === 0)
        .map((index) => `owner-${index}`)
    )
    const hours = await columnOf(opened, 'expiresHour')
    const ends = [...rows.values()].sort((a, b) => (a.id < b.id ? -1 : 1)).map(({ expiresAt }) => Math.ceil(expiresAt / HOUR))
    expect(hours.map(Number).filter((hour) => hour !== 1)).toEqual(ends.filter((hour) => hour !== 0))
  })

  it('update hits all of many, one alone, or none', async () => {
    const opened = await setUp.table()
    const { statements, db } = opened
    await statements.put(db, records(20), NOW)
    const updates = (revision: number, length = 20) =>
      range(length).map((index) => ({ id: name(index), revision, data: `at ${revision}`, expiresAt: LATER, ownerId: null }))
    expect(await statements.update(db, updates(1), NOW)).toEqual(range(20).map(() => true))
    expect(await statements.update(db, updates(1), NOW)).toEqual(range(20).map(() => false))
    expect(await statements.update(db, updates(2, 1), NOW)).toEqual([true])
    expect(await statements.update(db, updates(2, 1), NOW)).toEqual([false])
    // The same text again is a change too.
    expect(await statements.update(db, [{ id: name(0), revision: 3, data: 'at 2', expiresAt: LATER, ownerId: null }], NOW)).toEqual([true])
    expect((await rowsOf(opened)).get(name(0))).toMatchObject({ data: 'at 2', revision: 4 })
  })

  it('update writes owners of all, of some and of none', async () => {
    const opened = await setUp.table()
    const { statements, db } = opened
    await statements.put(db, [record('a', { ownerId: "o'1" }), record('b'), record('c', { ownerId: '日本' })], NOW)
    expect(await columnOf(opened, 'ownerId')).toEqual(["o'1", null, '日本'])
    const update = (revision: number, owners: (string | null)[]) =>
      statements.update(
        db,
        owners.map((ownerId, index) => ({ id: 'abc'.charAt(index), revision, data: '{}', expiresAt: LATER, ownerId })),
        NOW
      )
    await update(1, [null, 'o 2', null])
    expect(await columnOf(opened, 'ownerId')).toEqual([null, 'o 2', null])
    await update(2, ['x', 'y', 'z '])
    expect(await columnOf(opened, 'ownerId')).toEqual(['x', 'y', 'z '])
    await update(3, [null, null, null])
    expect(await columnOf(opened, 'ownerId')).toEqual([null, null, null])
    await update(4, ['alone'])
    expect(await columnOf(opened, 'ownerId')).toEqual(['alone', null, null])
  })

  it('updateWithLife takes the expiry as it is where it is exact, and the beginning if there is one', async () => {
    const opened = await setUp.table()
    const { statements, db } = opened
    await statements.put(db, records(30), NOW)
    const updates = range(30).map((index) => ({
      id: name(index),
      revision: index % 3 === 0 ? 5 : 1,
      data: 'shorter',
      expiresAt: NOW + 1 + index,
      ownerId: null,
      isExpiryExact: index % 4 !== 3,
      createdAt: index % 2 === 0 ? NOW - index : null
    }))
    expect(await statements.updateWithLife(db, updates, NOW)).toEqual(range(30).map((index) => index % 3 !== 0))
    const rows = await rowsOf(opened)
    expect(rows.get(name(1))).toMatchObject({ data: 'shorter', expiresAt: NOW + 2, revision: 2, createdAt: record(name(1)).createdAt })
    expect(rows.get(name(29))).toMatchObject({ data: 'shorter', expiresAt: NOW + 30, revision: 2 })
    expect(rows.get(name(2))).toMatchObject({ createdAt: NOW - 2 })
    expect(rows.get(name(7))).toMatchObject({ data: 'shorter', expiresAt: LATER, revision: 2 })
    expect(rows.get(name(11))).toMatchObject({ data: 'shorter', expiresAt: LATER, revision: 2 })
    expect(rows.get(name(28))).toMatchObject({ createdAt: NOW - 28 })
    expect(rows.get(name(3))).toMatchObject({ expiresAt: LATER, revision: 1 })
    const alone = { id: name(28), revision: 2, data: 'alone', expiresAt: LATER, ownerId: null, isExpiryExact: true }
    expect(await statements.updateWithLife(db, [{ ...alone, createdAt: NOW - 7 }], NOW)).toEqual([true])
    expect(await statements.updateWithLife(db, [{ ...alone, revision: 3, createdAt: null }], NOW)).toEqual([true])
    expect((await rowsOf(opened)).get(name(28))).toMatchObject({ revision: 4, createdAt: NOW - 7 })
  })

  it('touch renews what is alive, and never brings an expiry forward', async () => {
    const opened = await setUp.table()
    const { statements, db } = opened
    await statements.put(db, records(BATCH - 4), NOW)
    await statements.put(db, [record(name(BATCH - 4), { expiresAt: NOW }), record(name(BATCH - 3), { expiresAt: NOW + 1 })], NOW)
    await statements.remove(db, [name(0)], 1)
    const touches = range(BATCH).map((index) => ({ id: name(index), expiresAt: index % 2 === 0 ? LATER + index * HOUR : LATER - index }))
    const alive = await statements.touch(db, touches, NOW)
    // Where a row that stays as it is counts as none, what is left is looked at.
    expect(alive).toBeLessThanOrEqual(BATCH - 4)
    if (!setup.title.includes('those that changed')) expect(alive).toBe(BATCH - 4)
    const rows = await rowsOf(opened)
    expect(rows.size).toBe(BATCH - 2)
    expect(rows.get(name(0))).toMatchObject({ expiresAt: 0 })
    expect(rows.get(name(1))).toMatchObject({ expiresAt: LATER, revision: 1, data: `{"of":"${name(1)}"}` })
    expect(rows.get(name(2))).toMatchObject({ expiresAt: LATER + 2 * HOUR, revision: 1 })
    expect(rows.get(name(BATCH - 4))).toMatchObject({ expiresAt: NOW })
    expect(await statements.touch(db, [{ id: name(9), expiresAt: LATER + HOUR }], NOW)).toBe(1)
    expect(await statements.touch(db, [{ id: 'missing', expiresAt: LATER }], NOW)).toBe(0)
  })

  it.each([2, 3, 8, 9, 40])('touch gives each row its own expiry where there are %i different ones', async (different) => {
    const opened = await setUp.table()
    const { statements, db } = opened
    await statements.put(db, records(60), NOW)
    // One of them is that of most rows; one in three is in another hour.
    const expiryOf = (index: number) => {
      const number = index < 20 ? 1 : index % different
      return LATER + 1 + number + (number % 3 === 2 ? HOUR : 0)
    }
    const touches = range(60).map((index) => ({ id: name(index), expiresAt: expiryOf(index) }))
    expect(await statements.touch(db, touches, NOW)).toBe(60)
    const rows = await rowsOf(opened)
    expect(range(60).map((index) => rows.get(name(index))?.expiresAt)).toEqual(range(60).map(expiryOf))
    expect((await columnOf(opened, 'expiresHour')).map(Number)).toEqual(range(60).map((index) => Math.ceil(expiryOf(index) / HOUR)))
  })

  it('remove blanks the rows there are', async () => {
    const opened = await setUp.table()
    const { statements, db } = opened
    await statements.put(db, records(10, { ownerId: 'ada' }), NOW)
    await statements.remove(db, range(BATCH).slice(5).map(name), 77)
    await statements.remove(db, range(BATCH).slice(5).map(name), 78)
    const rows = await rowsOf(opened)
    expect(rows.get(name(4))).toMatchObject({ expiresAt: LATER, revision: 1 })
    expect(rows.get(name(5))).toEqual({ id: name(5), data: '{}', expiresAt: 0, revision: 2, createdAt: NOW, ownerId: null })
    expect(await columnOf(opened, 'ownerId')).toEqual([...range(5).map(() => 'ada'), ...range(5).map(() => null)])
    expect((await columnOf(opened, 'expiresHour')).map(Number).slice(5)).toEqual(range(5).map(() => 77))
  })

  it('prune deletes the oldest of what ended before the grace, by the clock of the database', async () => {
    const opened = await setUp.table()
    const { statements, db } = opened
    const grace = 600_000
    await statements.put(
      db,
      range(20).map((index) => record(name(index), { expiresAt: NOW - (index + 2) * HOUR })),
      0
    )
    await statements.put(db, [record('in grace', { expiresAt: Date.now() - grace + 60_000 }), record('alive'), record('removed')], NOW)
    await statements.remove(db, ['removed'], Math.ceil((NOW + grace) / HOUR) + 1)
    expect(await statements.prune(db, grace, 5, Date.now())).toBe(5)
    expect([...(await rowsOf(opened)).keys()].sort()).toEqual([...range(15).map(name), 'alive', 'in grace', 'removed'].sort())
    expect(await statements.prune(db, grace, 50, Date.now())).toBe(15)
    expect(await statements.prune(db, grace, 50, Date.now())).toBe(0)
    expect([...(await rowsOf(opened)).keys()].sort()).toEqual(['alive', 'in grace', 'removed'])
  })

  it('claim gives the lease to one, until it is over', async () => {
    const opened = await setUp.table()
    const { statements, db, knex, name: table, column } = opened
    const answers = await Promise.all(range(8).map(() => statements.claim(db, 'lease', 60_000)))
    expect(answers.filter(Boolean)).toHaveLength(1)
    expect(await statements.claim(db, 'lease', 60_000)).toBe(false)
    expect(await statements.claim(db, 'another', 60_000)).toBe(true)
    await knex.raw(`UPDATE ${table} SET ${column('createdAt')} = ${column('createdAt')} - 60001 WHERE ${column('id')} = 'lease'`)
    const again = await Promise.all(range(8).map(() => statements.claim(db, 'lease', 60_000)))
    expect(again.filter(Boolean)).toHaveLength(1)
    // A lease is no session that could be pruned.
    expect(await statements.prune(db, 0, 100, Date.now())).toBe(0)
  })

  it('ids, data and owners are kept to the byte, and ids are told apart by it', async () => {
    const opened = await setUp.table()
    const { statements, db } = opened
    const rows = hostile.map((text) => record(text, { data: `{"text":${JSON.stringify(text)}}`, ownerId: text }))
    expect(await statements.put(db, rows, NOW)).toEqual(hostile.map(() => 1))
    const found = await statements.load(db, hostile)
    expect(new Map(found.map(({ id, data }) => [id, data]))).toEqual(new Map(rows.map(({ id, data }) => [id, data])))
    for (const text of hostile) expect((await statements.load(db, [text])).map(({ id }) => id)).toEqual([text])
    const updates = hostile.map((text, index) => ({
      id: text,
      revision: index % 2 === 0 ? 1 : 2,
      data: `${text}!`,
      expiresAt: LATER,
      ownerId: `${text}!`.slice(0, 255)
    }))
    expect(await statements.update(db, updates, NOW)).toEqual(hostile.map((_, index) => index % 2 === 0))
    expect(
      await statements.touch(
        db,
        hostile.map((id) => ({ id, expiresAt: LATER + HOUR })),
        NOW
      )
    ).toBe(hostile.length)
    const second = hostile[1] as string
    await statements.remove(db, [second], 1)
    const after = await statements.load(db, hostile)
    expect(after.filter(({ expiresAt }) => expiresAt === 0).map(({ id }) => id)).toEqual([second])
    const changed = new Map(after.map(({ id, data }) => [id, data]))
    for (const [index, text] of hostile.entries()) {
      if (text !== second) expect(changed.get(text)).toBe(index % 2 === 0 ? `${text}!` : rows[index]?.data)
    }
    expect(new Set(await columnOf(opened, 'ownerId'))).toEqual(
      new Set(hostile.map((text, index) => (text === second ? null : index % 2 === 0 ? `${text}!`.slice(0, 255) : text)))
    )
  })

  it('a page of rows begins after the id given, in the order of the bytes', async () => {
    const opened = await setUp.table()
    const { statements, db, dialect, name: table, column } = opened
    await statements.put(
      db,
      hostile.map((text) => record(text, { data: text })),
      NOW
    )
    const id = column('id')
    const found: unknown[][] = []
    for (let after = ''; ; after = found.at(-1)?.[0] as string) {
      const page = await dialect.select(
        db,
        `SELECT ${dialect.text(id)}, ${dialect.text(column('data'))} FROM ${table} WHERE ${id} > ? ORDER BY ${id} LIMIT ?`,
        [after, 7]
      )
      if (page.length === 0) break
      found.push(...page)
    }
    const bytes = [...hostile].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    expect(found).toEqual(bytes.map((text) => [text, text]))
  })

  it('moments are exact to the millisecond, up to the last there is', async () => {
    const opened = await setUp.table()
    const { statements, db } = opened
    const last = 2_147_483_647 * HOUR
    const moments = [1, NOW, LATER + 1, 4_102_444_799_999, 253_402_300_799_999, last - 1, last]
    await statements.put(
      db,
      moments.map((moment, index) => record(name(index), { expiresAt: moment, createdAt: moment })),
      0
    )
    expect(
      [...(await rowsOf(opened)).values()].map(({ expiresAt, createdAt }) => [expiresAt, createdAt]).sort(([a = 0], [b = 0]) => a - b)
    ).toEqual(moments.map((moment) => [moment, moment]))
    const updates = moments.map((_, index) => ({ id: name(index), revision: 1, data: '{}', expiresAt: last - index, ownerId: null }))
    await statements.update(db, updates, 0)
    const expiries = (
      await statements.load(
        db,
        moments.map((_, index) => name(index))
      )
    ).sort((a, b) => (a.id < b.id ? -1 : 1))
    expect(expiries.map(({ expiresAt }) => expiresAt)).toEqual(moments.map((moment, index) => Math.max(moment, last - index)))
  })

  it('tables and columns of any name', async () => {
    const opened = await setUp.table(HOSTILE_NAMES)
    const { statements, db, dialect, table } = opened
    expect((await dialect.describe(db, table))?.columns.map(({ name }) => name)).toEqual(Object.values(HOSTILE_NAMES.columns))
    expect(await statements.put(db, records(3), NOW)).toEqual([1, 1, 1])
    expect(await statements.putUnlessDead(db, records(3), NOW)).toEqual(range(3).map(() => orUnknown(2)))
    const updates = range(3).map((index) => ({ id: name(index), revision: 2, data: 'x', expiresAt: LATER, ownerId: null }))
    expect(await statements.update(db, updates, NOW)).toEqual([true, true, true])
    expect(await statements.touch(db, [{ id: name(1), expiresAt: LATER + 1 }], NOW)).toBe(1)
    await statements.remove(db, [name(0)], 1)
    expect((await rowsOf(opened)).get(name(1))).toEqual({
      id: name(1),
      data: 'x',
      expiresAt: LATER + 1,
      revision: 3,
      createdAt: NOW,
      ownerId: null
    })
    expect(await statements.claim(db, 'lease', 1000)).toBe(true)
    expect(await statements.prune(db, 0, 10, Date.now())).toBeGreaterThanOrEqual(0)
    await dialect.drop(db, table)
    expect(await dialect.describe(db, table)).toBeNull()
  })

  it('several processes that write the same rows hit each revision once', { timeout: 60_000 }, async (context) => {
    if (setup.database === 'pglite') return context.skip('PGlite is in this process alone')
    const opened = await setUp.table()
    const { statements, db } = opened
    await statements.put(db, records(40, { data: '0' }), NOW)
    const { config, table } = opened
    const inputs = range(3).map(
      (process): Input => ({
        config,
        table,
        cockroach: setup.dialect !== undefined,
        prepare: setup.prepare ?? true,
        ids: range(40).map(name),
        rounds: 40,
        process
      })
    )
    const results = await runProcesses<Input, Output>(join(__dirname, 'statements.worker.mts'), inputs)
    expect(results.map(({ error }) => error)).toEqual(inputs.map(() => undefined))
    const rows = await rowsOf(opened)
    const hits = results.reduce((sum, { output }) => sum + (output?.hits ?? 0), 0)
    // Each process adds one where it hits, to what it had loaded: so nothing is lost and nothing is counted that was not written.
    expect([...rows.values()].reduce((sum, { data }) => sum + Number(data), 0)).toBe(hits)
    expect([...rows.values()].reduce((sum, { revision }) => sum + revision - 1, 0)).toBe(hits)
    expect(results.reduce((sum, { output }) => sum + (output?.misses ?? 0), 0)).toBeGreaterThan(0)
  })
}

for (const setup of SETUPS) {
  const { available, skipReason } = databaseNamed(setup.database)
  if (!databasesAndPglite.some((database) => database.name === setup.database)) continue
  describe(`statements: ${setup.title}`, async () => {
    const why = available ? await refusalOf(setup) : skipReason
    if (why === undefined) describeStatements(setup)
    else it.skip(`skipped: ${why}`)
  })
}
