import assert from 'node:assert/strict'
import { dataOf, sessionWith } from './sessions'
import type { ContractSpec, StoreUnderTest } from './store-under-test'

async function keeps(subject: StoreUnderTest, data: Record<string, unknown>): Promise<void> {
  const sid = subject.newId()
  await subject.set(sid, sessionWith(data))
  assert.deepEqual(dataOf(await subject.present(sid)), JSON.parse(JSON.stringify(data)))
}

/** What a session may hold: whatever JSON can. */
export const dataSpecs = {
  'text of every script comes back': (subject) =>
    keeps(subject, { text: 'Grüße, žluťoučký, Ελληνικά, 日本語, 👩‍👩‍👧, \u202eright to left, e\u0301' }),

  'lone surrogates come back': (subject) => keeps(subject, { high: '\ud83d', low: '\ude00', middle: 'a\udc00b', 'key\ud800': true }),

  'NUL and other control characters come back': (subject) =>
    keeps(subject, { text: 'a\u0000b\u0001\u001e\u001f\u007f\u2028\u2029', 'key\u0000': 1 }),

  'quotes and backslashes come back': (subject) => keeps(subject, { text: `'"\`\\'\\"\\\\ ?? :name $1 %s \\u0000 \r\n\t` }),

  'null, false, zero and empty values come back': (subject) =>
    keeps(subject, { nothing: null, no: false, zero: 0, text: '', list: [], object: {}, lists: [null, [], {}] }),

  'numbers come back exactly': (subject) => keeps(subject, { numbers: [Number.MAX_SAFE_INTEGER, -1, 0.1, 1e21, 5e-324, Number.MAX_VALUE] }),

  'keys with dots, dollars, digits and spaces come back': (subject) =>
    keeps(subject, { 'a.b': 1, $set: { $gt: '' }, '': 'empty', 7: 'digit', 'a b': ' ', constructor: 'c', toString: 't', length: 3 }),

  'a key named __proto__ changes no prototype': async (subject) => {
    const sid = subject.newId()
    const data = JSON.parse('{"__proto__": {"admin": true}, "user": {"__proto__": {"admin": true}, "name": "Ada"}}') as Record<
      string,
      unknown
    >
    const session = sessionWith({ user: data.user })
    Object.defineProperty(session, '__proto__', { value: { admin: true }, enumerable: true })
    await subject.set(sid, session)
    const stored = (await subject.present(sid)) as unknown as { admin?: boolean; user: { admin?: boolean; name: string } }
    assert.deepEqual([stored.admin, stored.user.admin, Reflect.get({}, 'admin')], [undefined, undefined, undefined])
    assert.equal(stored.user.name, 'Ada')
  },

  'a Date comes back as the same moment': async (subject) => {
    const sid = subject.newId()
    const at = new Date('2024-02-29T12:34:56.789Z')
    await subject.set(sid, sessionWith({ at }))
    assert.equal(new Date(Reflect.get(await subject.present(sid), 'at') as string).getTime(), at.getTime())
  },

  'deeply nested data comes back': (subject) => {
    let nested: unknown = 'bottom'
    for (let depth = 0; depth < 200; depth++) nested = depth % 2 ? [nested] : { nested }
    return keeps(subject, { nested })
  },

  'a thousand keys come back': (subject) =>
    keeps(subject, Object.fromEntries(Array.from({ length: 1_000 }, (_, number) => [`key ${number}`, { number }]))),

  'a megabyte comes back': (subject) => keeps(subject, { text: 'Grüße 😀 '.repeat(90_000) })
} satisfies Record<string, ContractSpec>
