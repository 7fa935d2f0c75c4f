import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DESTROYED, HOUR_MS } from '../../lib/record/expiry-columns'
import type { SessionRecord } from '../../lib/record/session-record'
import { SessionTable } from '../../lib/table/session-table'
import { type OpenedSetup, type OpenedStatements, openSetup, refusalOf, SETUPS, type Setup } from '../dialects/opened-statements'
import { databaseNamed, databasesAndPglite } from '../support/databases'

const NOW = Date.now()
const ODD = 'an odd "id", `of` \\ ünîcode 😀 ?'
const RECORD = { data: '{"a":1}', ownerId: 'ada', createdAt: NOW - HOUR_MS, expiresAt: NOW + HOUR_MS }

function tableOf({ db, dialect, table }: OpenedStatements): SessionTable {
  return new SessionTable(db, dialect, table, { isThere: true, ensure: async () => undefined, makeAgain: async () => undefined }, () => NOW)
}

async function only(table: SessionTable, id: string): Promise<SessionRecord> {
  const [record] = await table.load([id])
  return record as SessionRecord
}

for (const setup of SETUPS) {
  const { available, skipReason } = databaseNamed(setup.database)
  if (!databasesAndPglite.some((database) => database.name === setup.database)) continue
  describe(`on ${setup.title}`, async () => {
    const why = available ? await refusalOf(setup) : skipReason
    if (why === undefined) describeCare(setup)
    else it.skip(`skipped: ${why}`)
  })
}

function describeCare(setup: Setup): void {
  let opened: OpenedSetup
  beforeAll(async () => {
    opened = await openSetup(setup)
  })
  afterAll(() => opened[Symbol.asyncDispose]())

  const spec = (title: string, work: (statements: OpenedStatements) => Promise<void>) => it(title, async () => work(await opened.table()))

  spec('a row is rewritten at its revision, and all else of it stays', async (statements) => {
    const table = tableOf(statements)
    await table.insert([
      { ...RECORD, id: ODD },
      { ...RECORD, id: 'other' }
    ])
    const record = await only(table, ODD)
    const data = `{"text":"${'ä'.repeat(50_000)} ? ' \\\\"}`
    expect(await table.rewrite(record, data)).toBe(true)
    expect(await only(table, ODD)).toEqual({ ...record, data })
    expect(await table.rewrite({ ...record, revision: record.revision + 1 }, 'never')).toBe(false)
    expect(await table.rewrite({ ...record, id: 'nobody' }, 'never')).toBe(false)

    const newId = `${ODD}, moved`
    expect(await table.rewrite(record, '{"b":2}', newId)).toBe(true)
    expect(await table.load([ODD])).toEqual([null])
    expect(await only(table, newId)).toEqual({ ...record, id: newId, data: '{"b":2}' })
    await expect(table.rewrite(await only(table, newId), '{}', 'other')).rejects.toMatchObject({ code: 'ERR_SESSION_DATABASE' })
    expect(await only(table, 'other')).toMatchObject({ data: RECORD.data })
    await table.remove([newId])
    expect(await table.rewrite(await only(table, newId), 'never')).toBe(false)
  })

  spec('the rows are counted by what they are', async (statements) => {
    const table = tableOf(statements)
    const none = { live: 0, expired: 0, ended: 0, overdue: 0, oldest: undefined }
    expect(await table.census('', '')).toEqual({ found: none, next: undefined })
    await table.insert([
      { ...RECORD, id: 'live' },
      { ...RECORD, id: 'web:live', createdAt: NOW - 5 * HOUR_MS },
      { ...RECORD, id: 'expired', expiresAt: NOW - 1 },
      { ...RECORD, id: 'long expired', expiresAt: NOW - 9 * HOUR_MS },
      { ...RECORD, id: 'destroyed' },
      { ...RECORD, id: 'moving', expiresAt: -(NOW + HOUR_MS) }
    ])
    await table.remove(['destroyed'])
    expect((await only(table, 'destroyed')).expiresAt).toBe(DESTROYED)
    // Its row is no session.
    await table.claimPruning(60_000)
    const all = { live: 2, expired: 2, ended: 2, overdue: 1, oldest: NOW - 5 * HOUR_MS }
    expect((await table.census('', '')).found).toEqual(all)
    expect((await table.census('web:', '')).found).toEqual({ ...none, live: 1, oldest: NOW - 5 * HOUR_MS })
    expect((await table.census('', 'zzz')).found).toEqual(none)
    expect(await table.prunable()).toBe(2)
    expect(await table.prune(10)).toBe(2)
  })

  spec('the size is known, or said to be unknown', async (statements) => {
    const bytes = await tableOf(statements).size()
    expect(bytes === undefined || bytes > 4000).toBe(true)
  })
}
