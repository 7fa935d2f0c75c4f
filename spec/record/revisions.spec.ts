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
  isOutdated: false,
  isByHand: false
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

it('a copy is known by an object that it shares with what was loaded, and from then on by itself', () => {
  const revisions = new Revisions()
  const session = { cookie: {}, user: { name: 'ada' } }
  revisions.loaded(session as never, known('id', 3), true)
  const copy: { user?: object } = { user: session.user }
  expect(revisions.of(copy, 'id')).toBeUndefined()
  expect(revisions.find(copy, 'other')).toBeUndefined()
  expect(revisions.find(copy, 'id')?.revision).toBe(3)
  delete copy.user
  expect(revisions.of(copy, 'id')?.revision).toBe(3)
  revisions.remember(copy, known('id', 4))
  expect(revisions.of(session, 'id')?.revision).toBe(4)
})

it('what a session object stands for is not changed by its being saved under another id', () => {
  const revisions = new Revisions()
  const session = { cookie: {} }
  revisions.loaded(session as never, known('id', 3), true)
  revisions.remember(session, known('other', 9))
  expect(revisions.of(session, 'other')?.revision).toBe(9)
  expect(revisions.find({ cookie: session.cookie }, 'id')?.revision).toBe(3)
})

it('nothing is known of what is no object, nor of a session whose getter throws', () => {
  const revisions = new Revisions()
  for (const session of [null, undefined, 5, 'text']) expect(revisions.find(session as never, 'id')).toBeUndefined()
  const throwing = {
    get user() {
      throw new TypeError('on purpose')
    }
  }
  expect(revisions.find(throwing, 'id')).toBeUndefined()
})
