import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RecordToPut } from '../../lib/record/session-record'
import type { SessionRecords } from '../../lib/record/session-records'
import type { Clock } from '../support/stores'

/** Records to try, on the clock that decides what is alive. */
export interface RecordsUnderTest extends AsyncDisposable {
  readonly records: SessionRecords
  readonly clock: Clock
}

const HOUR = 3_600_000

/** What every implementation of {@link SessionRecords} has to be like. */
export function describeSessionRecords(title: string, open: () => Promise<RecordsUnderTest>): void {
  describe(`session records: ${title}`, () => {
    let subject: RecordsUnderTest
    const records = () => subject.records
    const now = () => subject.clock.now

    beforeAll(async () => {
      subject = await open()
    })

    afterAll(() => subject[Symbol.asyncDispose]())

    const draft = (more: Partial<RecordToPut> = {}): RecordToPut => ({
      id: randomUUID(),
      data: '{"a":1}',
      expiresAt: now() + HOUR,
      ownerId: null,
      createdAt: now(),
      ...more
    })
    const putDraft = async (more: Partial<RecordToPut> = {}) => {
      const record = draft(more)
      await records().put(record)
      return record
    }
    /** Alive, and dead in each of the ways there are. */
    const dead = {
      expired: () => putDraft({ expiresAt: now() - 1 }),
      'expired this very millisecond': () => putDraft({ expiresAt: now() }),
      removed: async () => {
        const record = await putDraft()
        await records().remove(record.id)
        return record
      }
    }

    describe('load', () => {
      it('gives null for a row that is not there', async () => {
        expect(await records().load(randomUUID())).toBeNull()
      })

      it('gives the row as it was put', async () => {
        const { id, data, expiresAt, createdAt } = await putDraft({ data: `{"text":"'\\"?? :a $1 %s grüße 😀\\u0000"}`, ownerId: 'ada' })
        expect(await records().load(id)).toEqual({ id, data, expiresAt, createdAt, revision: 1, ownerId: 'ada' })
      })

      it('gives rows that are dead too', async () => {
        const { id } = await dead.expired()
        expect(await records().load(id)).toMatchObject({ id, expiresAt: now() - 1 })
      })

      it('gives moments exactly, up to the last one there is', async () => {
        for (const expiresAt of [now() + 1, Date.UTC(9999, 11, 31, 23, 59, 59, 999), 2_147_483_647 * HOUR]) {
          const { id } = await putDraft({ expiresAt, createdAt: expiresAt - 1 })
          expect(await records().load(id)).toMatchObject({ expiresAt, createdAt: expiresAt - 1 })
        }
      })

      it('distinguishes ids by case, accents, composition and trailing spaces', async () => {
        const base = randomUUID()
        const ids = ['cafe', 'CAFE', 'café', 'cafe\u0301', 'cafe ', ' cafe', 'caf', '%', '_', '\\', "'", '"', '?', '😀'].map(
          (tail) => base + tail
        )
        await Promise.all(ids.map((id, number) => records().put(draft({ id, data: `{"n":${number}}` }))))
        const loaded = await Promise.all(ids.map((id) => records().load(id)))
        expect(loaded.map((record) => record?.data)).toEqual(ids.map((_id, number) => `{"n":${number}}`))
        expect(await records().load(`${base}CAFÉ`)).toBeNull()
      })

      it('gives each of many who ask at once their own', async () => {
        const drafts = Array.from({ length: 300 }, (_, number) => draft({ data: `{"n":${number}}` }))
        expect(await Promise.all(drafts.map((record) => records().put(record)))).toEqual(drafts.map(() => 1))
        const loaded = await Promise.all([...drafts, ...drafts].map(({ id }) => records().load(id)))
        expect(loaded.map((record) => record?.data)).toEqual([...drafts, ...drafts].map(({ data }) => data))
      })
    })

    describe('insert', () => {
      it('adds a row that is not there', async () => {
        const record = draft()
        await records().insert(record)
        expect(await records().load(record.id)).toMatchObject({ data: record.data, expiresAt: record.expiresAt, revision: 1 })
      })

      it.each(['alive', ...Object.keys(dead)])('leaves a row as it is that is %s', async (state) => {
        const { id } = await (dead[state as keyof typeof dead] ?? putDraft)()
        const before = await records().load(id)
        await records().insert(draft({ id, data: '{"other":1}', expiresAt: now() + 2 * HOUR }))
        expect(await records().load(id)).toEqual(before)
      })
    })

    describe('put', () => {
      it('overwrites, and the revision grows', async () => {
        const { id } = await putDraft()
        expect(await records().put(draft({ id, data: '{"b":2}', expiresAt: now() + 5 }))).toBe(2)
        expect(await records().load(id)).toMatchObject({ data: '{"b":2}', expiresAt: now() + 5, revision: 2 })
      })

      it('keeps the beginning of a session that is alive', async () => {
        const { id } = await putDraft({ createdAt: now() - HOUR })
        await records().put(draft({ id }))
        expect(await records().load(id)).toMatchObject({ createdAt: now() - HOUR })
      })

      it.each(Object.entries(dead))('begins anew where the row is %s', async (_state, make) => {
        const { id } = await make()
        const before = await records().load(id)
        const revision = await records().put(draft({ id, data: '{"new":1}', createdAt: now() + 7 }))
        expect(revision).toBeGreaterThan(before?.revision ?? 0)
        expect(await records().load(id)).toMatchObject({ data: '{"new":1}', createdAt: now() + 7, revision })
      })
    })

    describe('putUnlessDead', () => {
      it('inserts, and overwrites what is alive', async () => {
        const record = draft()
        expect(await records().putUnlessDead(record)).toBe(1)
        expect(await records().putUnlessDead({ ...record, data: '{"b":2}' })).toBe(2)
        expect(await records().load(record.id)).toMatchObject({ data: '{"b":2}' })
      })

      it.each(Object.entries(dead))('leaves a row as it is that is %s', async (_state, make) => {
        const { id } = await make()
        const before = await records().load(id)
        expect(await records().putUnlessDead(draft({ id }))).toBeNull()
        expect(await records().load(id)).toEqual(before)
      })

      it('answers for each of many at once, of which some are dead', async () => {
        const alive = await Promise.all(Array.from({ length: 5 }, () => putDraft()))
        const ended = await Promise.all(Array.from({ length: 5 }, dead.removed))
        const answers = await Promise.all([...alive, ...ended].map(({ id }) => records().putUnlessDead(draft({ id }))))
        expect(answers).toEqual([2, 2, 2, 2, 2, null, null, null, null, null])
      })
    })

    describe.each(['update', 'updateWithLife'] as const)('%s', (method) => {
      const change = (id: string, revision: number, expiresAt = now() + HOUR) =>
        records()[method]({ id, revision, data: '{"changed":1}', expiresAt, ownerId: 'ada', isExpiryExact: true, createdAt: null })

      it('overwrites at the revision that was loaded', async () => {
        const { id, createdAt } = await putDraft()
        expect(await change(id, 1)).toBe(true)
        expect(await records().load(id)).toMatchObject({ data: '{"changed":1}', revision: 2, createdAt, ownerId: 'ada' })
      })

      it('does not overwrite at another revision', async () => {
        const { id } = await putDraft()
        const before = await records().load(id)
        expect(await Promise.all([change(id, 0), change(id, 2)])).toEqual([false, false])
        expect(await records().load(id)).toEqual(before)
      })

      it('of two at once at the same revision hits once', async () => {
        const { id } = await putDraft()
        expect((await Promise.all([change(id, 1), change(id, 1)])).toSorted()).toEqual([false, true])
        expect(await records().load(id)).toMatchObject({ revision: 2 })
      })

      it('makes no row', async () => {
        const id = randomUUID()
        expect(await change(id, 1)).toBe(false)
        expect(await change(id, 0)).toBe(false)
        expect(await records().load(id)).toBeNull()
      })

      it.each(Object.entries(dead))('leaves a row as it is that is %s', async (_state, make) => {
        const { id } = await make()
        const before = await records().load(id)
        expect(await change(id, before?.revision ?? 0)).toBe(false)
        expect(await records().load(id)).toEqual(before)
      })

      it('renews the expiry', async () => {
        const { id } = await putDraft()
        await change(id, 1, now() + 3 * HOUR)
        expect(await records().load(id)).toMatchObject({ expiresAt: now() + 3 * HOUR })
      })

      it(method === 'update' ? 'keeps the later expiry' : 'takes an earlier expiry too', async () => {
        const { id } = await putDraft()
        await change(id, 1, now() + 5)
        expect(await records().load(id)).toMatchObject({ expiresAt: now() + (method === 'update' ? HOUR : 5) })
      })

      it('answers for each of many at once, of which some are out of date', async () => {
        const drafts = await Promise.all(Array.from({ length: 10 }, () => putDraft()))
        const answers = await Promise.all(drafts.map(({ id }, number) => change(id, number % 2)))
        expect(answers).toEqual(drafts.map((_draft, number) => number % 2 === 1))
      })
    })

    describe('touch', () => {
      it('renews the expiry and nothing else', async () => {
        const { id, data, createdAt } = await putDraft()
        expect(await records().touch({ id, expiresAt: now() + 2 * HOUR })).toBe(true)
        expect(await records().load(id)).toEqual({ id, data, createdAt, expiresAt: now() + 2 * HOUR, revision: 1, ownerId: null })
      })

      it('never brings the expiry forward', async () => {
        const { id } = await putDraft()
        expect(await records().touch({ id, expiresAt: now() + 1 })).toBe(true)
        expect(await records().load(id)).toMatchObject({ expiresAt: now() + HOUR })
      })

      it.each(Object.entries(dead))('leaves a row as it is that is %s', async (_state, make) => {
        const { id } = await make()
        const before = await records().load(id)
        expect(await records().touch({ id, expiresAt: now() + HOUR })).toBe(false)
        expect(await records().load(id)).toEqual(before)
      })

      it('makes no row', async () => {
        const id = randomUUID()
        expect(await records().touch({ id, expiresAt: now() + HOUR })).toBe(false)
        expect(await records().load(id)).toBeNull()
      })

      it('answers for each of many at once, of which some are dead', async () => {
        const rows = [await putDraft(), await dead.removed(), await putDraft({ expiresAt: now() + 1 }), await dead.expired()]
        const ids = [...rows.map(({ id }) => id), randomUUID()]
        const answers = await Promise.all(ids.map((id) => records().touch({ id, expiresAt: now() + HOUR })))
        expect(answers).toEqual([true, false, true, false, false])
      })
    })

    describe('remove', () => {
      it('blanks the row and ends its life, and the revision grows', async () => {
        const { id, createdAt } = await putDraft()
        await records().remove(id)
        expect(await records().load(id)).toEqual({ id, data: '{}', expiresAt: 0, revision: 2, createdAt, ownerId: null })
      })

      it('of what is removed already changes nothing', async () => {
        const { id } = await dead.removed()
        await records().remove(id)
        expect(await records().load(id)).toMatchObject({ revision: 2 })
      })

      it('of what is not there is no error', async () => {
        await records().remove(randomUUID())
      })

      it('ends one row and no other', async () => {
        const [one, other] = [await putDraft(), await putDraft()]
        await records().remove(one.id)
        expect(await records().load(other.id)).toMatchObject({ data: other.data })
      })
    })

    it('lives are as long as the clock says, to the millisecond', async () => {
      const { id, expiresAt } = await putDraft({ expiresAt: now() + 1000 })
      subject.clock.advance(999)
      expect(await records().touch({ id, expiresAt })).toBe(true)
      subject.clock.advance(1)
      expect(await records().touch({ id, expiresAt: expiresAt + HOUR })).toBe(false)
    })

    it('a row of a megabyte comes back, also beside small ones', async () => {
      const data = JSON.stringify({ text: 'Grüße 😀 '.repeat(90_000) })
      const drafts = Array.from({ length: 4 }, (_, number) => draft(number === 2 ? { data } : {}))
      await Promise.all(drafts.map((record) => records().put(record)))
      const loaded = await Promise.all(drafts.map(({ id }) => records().load(id)))
      expect(loaded.map((record) => record?.data)).toEqual(drafts.map((record) => record.data))
    })

    it('nobody waits when all is answered', () => {
      expect(records().waiting).toBe(0)
    })
  })
}
