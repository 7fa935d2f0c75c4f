import assert from 'node:assert/strict'
import { dataOf, sessionWith } from './sessions'
import type { ContractSpec, StoreUnderTest } from './store-under-test'

async function eachKeepsItsOwn(subject: StoreUnderTest, sids: string[]): Promise<void> {
  for (const [number, sid] of sids.entries()) await subject.set(sid, sessionWith({ number }))
  for (const [number, sid] of sids.entries()) assert.deepEqual(dataOf(await subject.present(sid)), { number }, JSON.stringify(sid))
  for (const [number, sid] of sids.entries()) {
    await subject.destroy(sid)
    await subject.absent(sid, `${JSON.stringify(sid)} was destroyed`)
    const next = sids[number + 1]
    if (next !== undefined) await subject.present(next)
  }
}

/** get, set and destroy. */
export const readingAndWritingSpecs = {
  'a session that was never stored is null or undefined, not an error': (subject) =>
    subject.absent(subject.newId(), 'a session that was never stored came back'),

  'get returns what set stored': async (subject) => {
    const sid = subject.newId()
    await subject.set(sid, sessionWith({ user: { id: 7, roles: ['reader', 'writer'] }, views: 1 }))
    assert.deepEqual(dataOf(await subject.present(sid)), { user: { id: 7, roles: ['reader', 'writer'] }, views: 1 })
  },

  'set replaces the whole session': async (subject) => {
    const sid = subject.newId()
    await subject.set(sid, sessionWith({ cart: ['book'], views: 1 }))
    await subject.set(sid, sessionWith({ views: 2 }))
    assert.deepEqual(dataOf(await subject.present(sid)), { views: 2 })
  },

  'of two writes in a row the later one stays': async (subject) => {
    for (let round = 0; round < 10; round++) {
      const sid = subject.newId()
      await Promise.all([subject.set(sid, sessionWith({ views: 1 })), subject.set(sid, sessionWith({ views: 2 }))])
      assert.deepEqual(dataOf(await subject.present(sid)), { views: 2 })
    }
  },

  'set stores the session as it is when set is called': async (subject) => {
    const sid = subject.newId()
    const session = sessionWith({ cart: ['book'] }) as ReturnType<typeof sessionWith> & { cart: string[] }
    const stored = subject.set(sid, session)
    session.cart.push('added later')
    await stored
    session.cart.push('added later still')
    assert.deepEqual(dataOf(await subject.present(sid)), { cart: ['book'] })
  },

  'every get gives an object of its own': async (subject) => {
    const sid = subject.newId()
    await subject.set(sid, sessionWith({ cart: ['book'] }))
    const [first, second] = await Promise.all([subject.present(sid), subject.present(sid)])
    Object.assign(first, { views: 1 })
    ;(first as unknown as { cart: string[] }).cart.push('changed after get')
    first.cookie.path = '/changed'
    for (const session of [second, await subject.present(sid)]) {
      assert.deepEqual(dataOf(session), { cart: ['book'] })
      assert.equal(session.cookie.path, '/')
    }
  },

  'two sessions do not mix': async (subject) => {
    const [mine, yours] = [subject.newId(), subject.newId()]
    await Promise.all([subject.set(mine, sessionWith({ owner: 'me' })), subject.set(yours, sessionWith({ owner: 'you' }))])
    const [first, second] = await Promise.all([subject.present(mine), subject.present(yours)])
    assert.deepEqual([dataOf(first), dataOf(second)], [{ owner: 'me' }, { owner: 'you' }])
  },

  'destroy removes the session and no other': async (subject) => {
    const [gone, kept] = [subject.newId(), subject.newId()]
    await subject.set(gone, sessionWith())
    await subject.set(kept, sessionWith())
    await subject.destroy(gone)
    await subject.absent(gone, 'a destroyed session came back')
    await subject.present(kept)
  },

  'destroy of a missing session is no error': async (subject) => {
    const sid = subject.newId()
    await subject.destroy(sid)
    await subject.absent(sid, 'destroy made a session')
  },

  'a session id can be used again after destroy': async (subject) => {
    const sid = subject.newId()
    await subject.set(sid, sessionWith({ views: 1 }))
    await subject.destroy(sid)
    await subject.set(sid, sessionWith({ views: 2 }))
    assert.deepEqual(dataOf(await subject.present(sid)), { views: 2 })
  },

  'session ids that differ in case, accents or trailing spaces are different': (subject) => {
    const sid = `${subject.newId()}-cafe`
    return eachKeepsItsOwn(subject, [sid, sid.toUpperCase(), `${sid.slice(0, -1)}é`, `${sid.slice(0, -1)}e\u0301`, `${sid} `, ` ${sid}`])
  },

  'a session id may hold quotes, wildcards, slashes and any other character': (subject) => {
    const sid = subject.newId()
    const tails = [`'"\``, '%', '_', '*', '?', '[a]', '../', '\\', ':', '\n', '{}', '$1', '??', '😀', '--', ';']
    return eachKeepsItsOwn(subject, [...tails.map((tail) => `${sid}${tail}`), '__proto__', 'constructor', 'toString'])
  },

  'a session id may have two hundred characters': (subject) => {
    const sid = subject.newId().padEnd(199, 'x')
    return eachKeepsItsOwn(subject, [`${sid}a`, `${sid}b`])
  }
} satisfies Record<string, ContractSpec>
