import assert from 'node:assert/strict'
import { dataOf, expired, expiryOf, sessionWith, shortLived } from './sessions'
import type { ContractSpec } from './store-under-test'

/** Expiry and touch. Where time must pass, a session nobody touches shows that it has, so no spec guesses how exact a store counts. */
export const expirySpecs = {
  'an expired session is not returned': async (subject) => {
    const sid = subject.newId()
    await subject.set(sid, expired())
    await subject.absent(sid, 'an expired session came back')
  },

  'a session is not returned once its life has passed': async (subject) => {
    const [short, long] = [subject.newId(), subject.newId()]
    await subject.set(short, shortLived())
    await subject.set(long, sessionWith())
    await subject.present(short)
    await subject.untilGone(short)
    await subject.present(long)
  },

  'set with an earlier expiry shortens the life': async (subject) => {
    const sid = subject.newId()
    await subject.set(sid, sessionWith())
    await subject.set(sid, shortLived())
    await subject.untilGone(sid)
  },

  'set with a later expiry extends the life': async (subject) => {
    const [extended, control] = [subject.newId(), subject.newId()]
    await subject.set(extended, shortLived())
    await subject.set(extended, sessionWith())
    await subject.set(control, shortLived())
    await subject.untilGone(control)
    await subject.present(extended)
  },

  'touch extends the life': async (subject) => {
    subject.requires('touch')
    const [touched, control] = [subject.newId(), subject.newId()]
    await subject.set(touched, shortLived({ views: 1 }))
    await subject.set(control, shortLived({ views: 1 }))
    await subject.touch(touched, sessionWith({ views: 1 }))
    await subject.untilGone(control)
    assert.deepEqual(dataOf(await subject.present(touched)), { views: 1 })
  },

  'touch does not change the data': async (subject) => {
    subject.requires('touch')
    const sid = subject.newId()
    await subject.set(sid, sessionWith({ cart: ['book'], views: 1 }))
    await subject.touch(sid, sessionWith({ views: 2, added: true }))
    assert.deepEqual(dataOf(await subject.present(sid)), { cart: ['book'], views: 1 })
  },

  'touch of a missing session is no error and makes none': async (subject) => {
    subject.requires('touch')
    const sid = subject.newId()
    await subject.touch(sid, sessionWith({ views: 1 }))
    await subject.absent(sid, 'touch made a session')
  },

  'touch does not bring back an expired session': async (subject) => {
    subject.requires('touch')
    const sid = subject.newId()
    await subject.set(sid, shortLived())
    await subject.untilGone(sid)
    await subject.touch(sid, sessionWith())
    await subject.absent(sid, 'an expired session was brought back by touch')
  },

  'touch does not bring back a destroyed session': async (subject) => {
    subject.requires('touch')
    const sid = subject.newId()
    await subject.set(sid, sessionWith())
    await subject.destroy(sid)
    await subject.touch(sid, sessionWith())
    await subject.absent(sid, 'a destroyed session was brought back by touch')
  },

  'touch takes a session whose cookie has no expiry': async (subject) => {
    subject.requires('touch')
    const sid = subject.newId()
    await subject.set(sid, sessionWith({ views: 1 }, {}))
    await subject.touch(sid, sessionWith({ views: 1 }, {}))
    const session = await subject.present(sid)
    assert.deepEqual(dataOf(session), { views: 1 })
    assert.equal(expiryOf(session), null)
  }
} satisfies Record<string, ContractSpec>
