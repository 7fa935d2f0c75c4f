import assert from 'node:assert/strict'
import type { SessionData } from 'express-session'
import { expiryOf, sessionWith } from './sessions'
import type { ContractSpec, StoreUnderTest } from './store-under-test'

async function storedAndReturned(subject: StoreUnderTest, session: SessionData): Promise<SessionData> {
  const sid = subject.newId()
  await subject.set(sid, session)
  return subject.present(sid)
}

async function keepsExpiry(subject: StoreUnderTest, expires: Date): Promise<void> {
  const session = await storedAndReturned(subject, sessionWith({}, { expires }))
  assert.equal(expiryOf(session), expires.getTime())
}

const dayMs = 86_400_000

/** Every kind of cookie that express-session makes or that its users write. */
export const cookieSpecs = {
  'a cookie without an expiry comes back without one': async (subject) => {
    assert.equal(expiryOf(await storedAndReturned(subject, sessionWith({}, {}))), null)
  },

  'a cookie whose expires is false comes back without an expiry': async (subject) => {
    const session = sessionWith()
    Object.assign(session.cookie, { expires: false })
    assert.equal(expiryOf(await storedAndReturned(subject, session)), null)
  },

  'an expiry given as a Date comes back as the same moment': (subject) => keepsExpiry(subject, new Date(Date.now() + 12_345_678)),

  'an expiry given as a string comes back as the same moment': async (subject) => {
    const expires = new Date(Date.now() + 12_345_678)
    const session = JSON.parse(JSON.stringify(sessionWith({}, { expires }))) as SessionData
    assert.equal(typeof session.cookie.expires, 'string')
    assert.equal(expiryOf(await storedAndReturned(subject, session)), expires.getTime())
  },

  'an expiry further away than a timer can count comes back': (subject) => keepsExpiry(subject, new Date(Date.now() + 60 * dayMs)),

  'an expiry in the year 9999 comes back': (subject) => keepsExpiry(subject, new Date('9999-12-31T23:59:59.000Z')),

  'originalMaxAge is kept': async (subject) => {
    const session = sessionWith({}, { maxAge: 2 * dayMs })
    session.cookie.maxAge = dayMs
    session.cookie.originalMaxAge = 2 * dayMs
    assert.equal((await storedAndReturned(subject, session)).cookie.originalMaxAge, 2 * dayMs)
  },

  'the other attributes of the cookie are kept': async (subject) => {
    const session = sessionWith(
      {},
      {
        ...{ maxAge: 60_000, path: '/shop', domain: 'shop.example', httpOnly: false },
        ...{ secure: true, sameSite: 'lax', partitioned: true, priority: 'high' }
      }
    )
    // As its JSON has them: an older express-session does not know every attribute.
    const {
      expires: _expires,
      originalMaxAge: _originalMaxAge,
      ...given
    } = JSON.parse(JSON.stringify(session.cookie)) as object & {
      expires: unknown
      originalMaxAge: unknown
    }
    const { cookie } = await storedAndReturned(subject, session)
    for (const [attribute, value] of Object.entries(given)) assert.equal(Reflect.get(cookie, attribute), value, attribute)
  },

  'load makes a session of it, with the expiry as a Date': async (subject) => {
    const sid = subject.newId()
    const expires = new Date(Date.now() + dayMs)
    await subject.set(sid, sessionWith({ views: 1 }, { expires }))
    const session = await subject.load(sid)
    assert.ok(session, 'expected load to return the session')
    assert.equal(Reflect.get(session, 'id'), sid)
    assert.equal(Reflect.get(session, 'views'), 1)
    assert.ok(session.cookie.expires instanceof Date)
    assert.equal(session.cookie.expires.getTime(), expires.getTime())
  },

  'load of a missing session is no error': async (subject) => {
    assert.equal((await subject.load(subject.newId())) ?? null, null)
  }
} satisfies Record<string, ContractSpec>
