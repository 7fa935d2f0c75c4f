import { expect, it } from 'vitest'
import type { KnownRevision } from '../../lib/record/known-revision'
import { Revisions } from '../../lib/record/revisions'

const known = (storedId: string, revision = 1): KnownRevision => ({
  storedId,
  revision,
  data: '{}',
  base: '{}',
  comparable: '{}',
  expiresAt: 1,
  createdAt: 0,
  maxAge: null,
  outdated: false,
  byHand: false
})

it('a session object is known by itself, and not by what it holds', () => {
  const revisions = new Revisions()
  const session = { user: 'ada' }
  revisions.remember(session, known('id', 3))
  expect(revisions.of(session, 'id')?.revision).toBe(3)
  expect(revisions.of({ ...session }, 'id')).toBeUndefined()
})

it('a session object is not known under another id', () => {
  const revisions = new Revisions()
  const session = {}
  revisions.remember(session, known('id'))
  expect(revisions.of(session, 'other')).toBeUndefined()
})

it('an object made from a loaded one stands for the same revision', () => {
  const revisions = new Revisions()
  const [loaded, made] = [{}, {}]
  revisions.remember(loaded, known('id', 7))
  revisions.pass(loaded, made)
  expect(revisions.of(made, 'id')?.revision).toBe(7)
  revisions.pass({}, loaded)
  expect(revisions.of(loaded, 'id')?.revision).toBe(7)
})
