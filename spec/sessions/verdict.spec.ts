import { describe, expect, it } from 'vitest'
import type { KnownRevision } from '../../lib/record/known-revision'
import type { SessionRecord } from '../../lib/record/session-record'
import { type PendingUpdate, type Verdict, verdictOn } from '../../lib/sessions/verdict'

const NOW = 1_000
const EXPIRY = 5_000

/** A session that was loaded at revision 3 with the text `loaded`, to be written as `ours`. */
const update = (more: Partial<PendingUpdate> = {}): PendingUpdate => ({
  known: { data: 'loaded', digests: undefined } as KnownRevision,
  version: { data: 'ours', expiresAt: EXPIRY, ownerId: null, contested: [] },
  revision: 3,
  isRevisionUnknown: false,
  isCertain: true,
  isExpiryExact: false,
  ...more
})
const row = (more: Partial<SessionRecord> = {}): SessionRecord => ({
  id: 'id',
  data: 'theirs',
  expiresAt: EXPIRY,
  revision: 4,
  createdAt: 0,
  ownerId: null,
  ...more
})
const merged = { data: 'ours', expiresAt: EXPIRY, ownerId: null, contested: ['cart'] }

const CASES: readonly [why: string, update: PendingUpdate, row: SessionRecord | null, verdict: Verdict][] = [
  ['the row was pruned', update(), null, 'dead'],
  ['the session was destroyed', update(), row({ expiresAt: 0 }), 'dead'],
  ['the session expires at this moment', update(), row({ expiresAt: NOW }), 'dead'],
  ['another request has written the row', update(), row(), 'changed'],
  ['an earlier try has written the row', update(), row({ data: 'ours' }), 'already-written'],
  ['an earlier try has, and a touch came after it', update(), row({ data: 'ours', expiresAt: EXPIRY + 1 }), 'already-written'],
  ['the same data ends earlier', update(), row({ data: 'ours', expiresAt: EXPIRY - 1 }), 'changed'],
  ['the same data ends later than on purpose', update({ isExpiryExact: true }), row({ data: 'ours', expiresAt: EXPIRY + 1 }), 'changed'],
  ['the same data ends as on purpose', update({ isExpiryExact: true }), row({ data: 'ours' }), 'already-written'],
  ['the same data, two writes later', update(), row({ data: 'ours', revision: 5 }), 'changed'],
  ['a merge with a conflict that nobody was told of', update({ version: merged }), row({ data: 'ours' }), 'changed'],
  ['the revision is not certain, and is right', update({ isCertain: false }), row({ data: 'loaded', revision: 3 }), 'as-loaded'],
  ['the revision is not certain, and the text differs', update({ isCertain: false }), row({ revision: 3 }), 'changed'],
  ['the revision is not certain, and is wrong', update({ isCertain: false }), row({ data: 'loaded', revision: 7 }), 'changed'],
  [
    'the revision is unknown, and the text is as loaded',
    update({ isCertain: false, isRevisionUnknown: true }),
    row({ data: 'loaded', revision: 7 }),
    'as-loaded'
  ],
  ['the revision was certain, and the row is back at it', update(), row({ data: 'loaded', revision: 3 }), 'changed']
]

describe('what becomes of an update that changed no row', () => {
  it.each(CASES)('%s', (_why, pending, found, verdict) => {
    expect(verdictOn(pending, found, NOW)).toBe(verdict)
  })
})
