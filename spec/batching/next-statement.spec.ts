import { describe, expect, it } from 'vitest'
import { areStragglers, type Choice, chooseNext, rowsOfNext } from '../../lib/batching/next-statement'

describe('what a lane does with the calls that wait', () => {
  it.each<[why: string, waiting: number, inFlight: { isFull: boolean; rows: number }, Choice]>([
    ['nothing waits', 0, { isFull: false, rows: 0 }, 'wait'],
    ['nothing waits, and a statement is in flight', 0, { isFull: false, rows: 8 }, 'wait'],
    ['a call that is alone leaves at once', 1, { isFull: false, rows: 0 }, 'send'],
    ['many calls, and no statement may be sent', 256, { isFull: true, rows: 16 }, 'wait'],
    ['one call beside a statement of one row', 1, { isFull: false, rows: 1 }, 'send'],
    ['one call beside a statement of four rows', 1, { isFull: false, rows: 4 }, 'send'],
    ['one call beside a statement of five rows is a straggler', 1, { isFull: false, rows: 5 }, 'hold'],
    ['31 calls beside 128 rows are stragglers', 31, { isFull: false, rows: 128 }, 'hold'],
    ['32 calls beside 128 rows are not', 32, { isFull: false, rows: 128 }, 'send']
  ])('%s', (_why, waiting, inFlight, choice) => {
    expect(chooseNext(waiting, inFlight)).toBe(choice)
  })
})

describe('the rows of the next statement', () => {
  const limits = { maxBatch: 256, smallBatch: 16, maxInFlight: 2 }

  it.each<[why: string, waiting: number, rows: number, maxInFlight: number, expected: number]>([
    ['all, where one statement is all there may be', 64, 0, 1, 256],
    ['half of what waits, so that the other half is under way with it', 64, 0, 2, 32],
    ['as many as are in flight', 32, 32, 2, 32],
    ['no more than fit in one', 2000, 0, 2, 256],
    ['no fewer than are worth a statement', 20, 0, 2, 16],
    ['the larger half', 65, 0, 2, 33],
    ['half, however many statements may be in flight', 64, 0, 4, 32]
  ])('%s', (_why, waiting, rows, maxInFlight, expected) => {
    expect(rowsOfNext(waiting, { isFull: false, rows }, { ...limits, maxInFlight })).toBe(expected)
  })
})

it('calls that wait when a statement ends go together with what its callers ask next, if they are few', () => {
  expect([0, 1, 15, 16, 64].map((waiting) => areStragglers(waiting, 64))).toEqual([true, true, true, false, false])
})
