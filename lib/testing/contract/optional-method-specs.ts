import assert from 'node:assert/strict'
import { dataOf, expired, sessionWith } from './sessions'
import type { ContractSpec } from './store-under-test'

/** all, length and clear: express-session does without them, so a store may lack them. */
export const optionalMethodSpecs = {
  'all of an empty store is empty': async (subject) => {
    subject.requires('all')
    assert.deepEqual(await subject.all(), [])
  },

  'all returns every live session and no expired one': async (subject) => {
    subject.requires('all')
    await subject.set(subject.newId(), sessionWith({ number: 1 }))
    await subject.set(subject.newId(), sessionWith({ number: 2 }, {}))
    await subject.set(subject.newId(), expired({ number: 3 }))
    const sessions = await subject.all()
    assert.deepEqual(sessions.map((session) => dataOf(session).number).sort(), [1, 2])
    for (const session of sessions) assert.ok(session.cookie, 'a session of all() has no cookie')
  },

  'length of an empty store is zero': async (subject) => {
    subject.requires('length')
    assert.equal(await subject.length(), 0)
  },

  'length counts the live sessions and not the expired ones': async (subject) => {
    subject.requires('length')
    const sid = subject.newId()
    await subject.set(sid, sessionWith())
    await subject.set(sid, sessionWith())
    await subject.set(subject.newId(), sessionWith({}, {}))
    await subject.set(subject.newId(), expired())
    assert.equal(await subject.length(), 2)
  },

  'clear removes every session': async (subject) => {
    subject.requires('clear')
    const sids = [subject.newId(), subject.newId(), subject.newId()]
    for (const sid of sids) await subject.set(sid, sessionWith())
    await subject.clear()
    for (const sid of sids) await subject.absent(sid, 'clear left a session')
  },

  'clear of an empty store is no error': async (subject) => {
    subject.requires('clear')
    await subject.clear()
  },

  'a cleared store takes sessions again': async (subject) => {
    subject.requires('clear')
    const sid = subject.newId()
    await subject.clear()
    await subject.set(sid, sessionWith({ views: 1 }))
    assert.deepEqual(dataOf(await subject.present(sid)), { views: 1 })
  }
} satisfies Record<string, ContractSpec>
