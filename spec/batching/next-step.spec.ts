import { describe, expect, it } from 'vitest'
import { nextStep } from '../../lib/batching/next-step'
import {
  DatabaseError,
  DatabaseUnreachableError,
  ReadOnlyDatabaseError,
  RecordTooLargeError,
  TimeoutError,
  TransientDatabaseError
} from '../../lib/database-errors'

const transient = (reason: TransientDatabaseError['reason']) => new TransientDatabaseError('set', 'postgresql', undefined, reason)
const errors = {
  conflict: transient('conflict'),
  locked: transient('locked'),
  ended: transient('ended'),
  unreachable: new DatabaseUnreachableError('set', 'postgresql', undefined),
  'read-only': new ReadOnlyDatabaseError('set', 'postgresql', undefined),
  'too large': new RecordTooLargeError('set', 'postgresql', undefined, '1 GB'),
  refused: new DatabaseError('set', 'postgresql', undefined),
  'timed out': new TimeoutError('set', 1000),
  'a mistake': new TypeError('of ours')
}

describe('after a statement failed, the calls that still wait', () => {
  it.each([
    ['conflict', 8, 1, 'again'],
    ['conflict', 8, 4, 'again'],
    ['conflict', 8, 5, 'fail'],
    ['conflict', 1, 5, 'fail'],
    ['locked', 8, 1, 'split'],
    ['locked', 2, 9, 'split'],
    ['locked', 1, 1, 'wait-for-lock'],
    ['locked', 1, 9, 'wait-for-lock'],
    ['ended', 8, 1, 'again'],
    ['ended', 8, 2, 'fail'],
    ['ended', 1, 2, 'fail'],
    ['unreachable', 8, 2, 'again'],
    ['unreachable', 8, 3, 'fail'],
    ['read-only', 8, 1, 'fail'],
    ['too large', 8, 1, 'split'],
    ['too large', 1, 1, 'fail'],
    ['refused', 8, 1, 'split'],
    ['refused', 8, Number.POSITIVE_INFINITY, 'split'],
    ['refused', 1, 1, 'fail'],
    ['timed out', 8, 1, 'fail'],
    ['a mistake', 8, 1, 'fail']
  ] as const)('%s, %i rows, try %i: %s', (what, rows, tries, step) => {
    expect(nextStep(errors[what], { rows, tries, locksRows: true })).toBe(step)
  })

  it.each([
    [8, 1, 'again'],
    [1, 4, 'again'],
    [1, 5, 'fail']
  ] as const)(
    'of a statement that locks no rows itself are tried again a few times where a lock is in the way: %i rows, try %i',
    (rows, tries, step) => {
      expect(nextStep(errors.locked, { rows, tries, locksRows: false })).toBe(step)
    }
  )
})
