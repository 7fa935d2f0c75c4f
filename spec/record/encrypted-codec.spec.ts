import { randomBytes } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { SessionData } from 'express-session'
import fc from 'fast-check'
import type { Knex } from 'knex'
import { describe, expect, it } from 'vitest'
import type { EncryptedOptions, SessionCodec } from '../../lib'
import { UnreadableSessionError } from '../../lib/errors'
import { encrypted } from '../../lib/record/encrypted-codec'
import { ScriptedSite, visit } from '../concurrency/scripted-site'
import { type DatabaseName, describeDatabases } from '../support/databases'
import { handMade, openStore } from '../support/stores'

const SECRET = 'the secret of the session'
const oldKey = 'an old key, which is long enough to be one'
const newKey = randomBytes(32)
const otherKey = 'a key that belongs to somebody else altogether'

const session = (data: object = {}) => ({ cookie: { originalMaxAge: null }, ...data }) as unknown as SessionData
const seal = (codec: SessionCodec, data: object = { SECRET }, storedId = 'id') => codec.encode(session(data), storedId) as string

function reasonFor(codec: SessionCodec, text: string, storedId = 'id'): string | undefined {
  try {
    codec.decode(text, storedId)
    return undefined
  } catch (error) {
    return error instanceof UnreadableSessionError ? error.reason : `${error}`
  }
}

describe('an encrypted text', () => {
  const codec = encrypted({ keys: [oldKey] })

  it('opens to whatever was in it', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 2, stringUnit: 'binary' }), fc.string({ unit: 'binary' }), (value, storedId) => {
        const expected = JSON.parse(JSON.stringify(session({ value })))
        expect(codec.decode(seal(codec, { value }, storedId), storedId)).toEqual(expected)
      })
    )
  })

  it('names its version and its key, and shows nothing else', () => {
    const text = seal(codec)
    expect(text).toMatch(/^e1\.[\w-]{8}\.[\w-]+$/)
    expect(text).not.toContain(SECRET)
    expect(Buffer.from(text.split('.')[2] as string, 'base64url').toString('latin1')).not.toContain(SECRET)
    expect(text).not.toContain(oldKey.slice(0, 8))
  })

  it('is another one each time, and known by what is in it', () => {
    expect(seal(codec)).not.toBe(seal(codec))
    expect(codec.comparable?.(session({ SECRET }))).toBe(codec.comparable?.(session({ SECRET })))
  })

  it('opens under its own id only', () => {
    expect(reasonFor(codec, seal(codec), 'id2')).toBe('its data was changed, cut, or copied from another row or context')
  })

  it('opens under its own context only', () => {
    const [shop, admin] = ['shop', 'admin'].map((context) => encrypted({ keys: [oldKey], context })) as [SessionCodec, SessionCodec]
    expect(reasonFor(shop, seal(shop))).toBeUndefined()
    const reason = 'its data was changed, cut, or copied from another row or context'
    expect([reasonFor(shop, seal(admin)), reasonFor(codec, seal(admin)), reasonFor(admin, seal(codec))]).toEqual([reason, reason, reason])
    // Nor where the border between context and id is moved.
    expect(reasonFor(encrypted({ keys: [oldKey], context: 'a' }), seal(encrypted({ keys: [oldKey], context: 'ab' }), {}, 'c'), 'bc')).toBe(
      reason
    )
  })

  it('opens with its own key only', () => {
    expect(reasonFor(encrypted({ keys: [otherKey, newKey] }), seal(codec))).toBe(
      'its data is encrypted with a key that is not in the option keys; add the old key at the end of the list'
    )
  })

  it('does not open when its key id is exchanged', () => {
    const both = encrypted({ keys: [oldKey, otherKey] })
    const [version, , body] = seal(codec).split('.')
    const [, otherId] = seal(encrypted({ keys: [otherKey] })).split('.')
    expect(reasonFor(both, [version, otherId, body].join('.'))).toBe('its data was changed, cut, or copied from another row or context')
  })

  it('never opens to another session, whichever of its characters is changed', () => {
    const text = seal(codec)
    const expected = JSON.stringify(session({ SECRET }))
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.constantFrom(...'AZaz09-_.{+/='), (at, character) => {
        const tampered = text.slice(0, at) + character + text.slice(at + 1)
        const reason = reasonFor(codec, tampered)
        // Two characters may be the same bits.
        if (reason === undefined) expect(JSON.stringify(codec.decode(tampered, 'id'))).toBe(expected)
        else expect(reason).toMatch(/^its data (was changed|is not encrypted|is encrypted with a key)/)
      }),
      { numRuns: 500 }
    )
  })

  it('does not open when it was cut, wherever', () => {
    const text = seal(codec)
    for (let length = 0; length < text.length - 1; length++) expect(reasonFor(codec, text.slice(0, length))).toBeDefined()
    for (let start = 1; start < text.length; start++) expect(reasonFor(codec, text.slice(start))).toBeDefined()
  })

  it.each(['', 'e1', 'e1.', 'e1..', 'e2.abcdefgh.abc', '{"cookie":{}}', 'e1.__proto__.abc', 'null'])('is not %j', (text) => {
    expect(reasonFor(codec, text)).toMatch(/^its data is (not encrypted|encrypted with a key that is not in the option keys);/)
  })
})

describe('several keys', () => {
  it('all open, and the first one encrypts', () => {
    const before = encrypted({ keys: [oldKey] })
    const rotated = encrypted({ keys: [newKey, oldKey] })
    const after = encrypted({ keys: [newKey] })
    expect(reasonFor(rotated, seal(before))).toBeUndefined()
    expect(reasonFor(after, seal(rotated))).toBeUndefined()
    expect(reasonFor(before, seal(rotated))).toBeDefined()
  })

  it('tell what is to be written anew', () => {
    const rotated = encrypted({ keys: [newKey, oldKey], acceptPlain: true })
    expect(rotated.rewrite?.(seal(encrypted({ keys: [oldKey] })))).toBe('at-next-write')
    expect(rotated.rewrite?.(seal(rotated))).toBe('not')
    expect(rotated.rewrite?.('{"cookie":{}}')).toBe('at-once')
  })

  it('may be text or bytes, which are not kept', () => {
    const bytes = new Uint8Array(randomBytes(32))
    const codec = encrypted({ keys: [bytes] })
    const text = seal(codec)
    const same = encrypted({ keys: [Buffer.from(bytes)] })
    bytes.fill(0)
    expect(reasonFor(codec, text)).toBeUndefined()
    expect(reasonFor(same, text)).toBeUndefined()
  })
})

describe('a plain text', () => {
  it('is read where that is allowed, and only there', () => {
    expect(reasonFor(encrypted({ keys: [oldKey], acceptPlain: true }), '{"cookie":{}}')).toBeUndefined()
    expect(reasonFor(encrypted({ keys: [oldKey] }), '{"cookie":{}}')).toBe(
      'its data is not encrypted; if it was stored before encryption was switched on, set acceptPlain: true'
    )
  })
})

describe('the options of encrypted()', () => {
  const shortKey = 'Hunter2!'
  const HOW_TO_MAKE_ONE = `This prints a key: node -p "crypto.randomBytes(32).toString('base64')"`
  it.each<[string, unknown, string]>([
    ['none at all', undefined, 'the options of encrypted() must be an object with keys, got undefined'],
    ['a key alone', shortKey, 'the options of encrypted() must be an object with keys, got a string'],
    ['a list', [shortKey], 'the options of encrypted() must be an object with keys, got an array'],
    ['no keys', {}, 'keys must be a list with at least one key, got undefined'],
    ['an empty list', { keys: [] }, 'keys must be a list with at least one key, got an array'],
    ['a key in place of a list', { keys: shortKey }, 'keys must be a list with at least one key, got a string'],
    ['a key that is missing', { keys: [oldKey, undefined] }, 'keys[1] must be a string or bytes, got undefined'],
    ['a key that is none', { keys: [{ shortKey }] }, 'keys[0] must be a string or bytes, got an object'],
    ['a short key', { keys: [shortKey] }, `keys[0].length must be at least 32, got 8 (number). ${HOW_TO_MAKE_ONE}`],
    [
      'a key that is not set',
      { keys: [undefined] },
      'keys[0] must be a string or bytes, got undefined; if it comes from an environment variable, that is not set'
    ],
    ['short bytes', { keys: [oldKey, new Uint8Array(31)] }, 'keys[1].length must be at least 32, got 31 (number)'],
    ['a switch that is none', { keys: [oldKey], acceptPlain: shortKey }, 'acceptPlain must be true or false, got a string'],
    ['a misspelt one', { key: shortKey }, 'unknown option "key", did you mean keys? (options: keys, acceptPlain, context)'],
    [
      'a key of one character',
      { keys: ['k'.repeat(64)] },
      `keys[0] must be random: it needs at least 8 different characters, got 1 (number). ${HOW_TO_MAKE_ONE}`
    ],
    [
      'bytes that are all zero',
      { keys: [new Uint8Array(32)] },
      `keys[0] must be random: it needs at least 8 different characters, got 1 (number). ${HOW_TO_MAKE_ONE}`
    ],
    ['a context that is no text', { keys: [oldKey], context: { shortKey } }, 'context must be a string, got an object']
  ])('with %s are refused, and show no key', (_what, options, message) => {
    const make = () => encrypted(options as EncryptedOptions)
    expect(make).toThrow(message)
    expect(make).not.toThrow(shortKey)
  })

  it('are left as they were, and not kept', () => {
    const keys = [newKey, oldKey]
    const codec = encrypted(Object.freeze({ keys }))
    keys.length = 0
    expect(reasonFor(codec, seal(encrypted({ keys: [oldKey] })))).toBeUndefined()
  })
})

const dataOf = async (knex: Knex): Promise<string[]> => (await knex('sessions').orderBy('id').select('data')).map(({ data }) => data)

describeDatabases('an encrypted session', (database) => {
  it('is nowhere readable in the table, and is read, changed and merged as any other', async () => {
    await using opened = await openStore(database, { codec: encrypted({ keys: [newKey] }) })
    const { store, knex } = opened
    await store.set('id', handMade({ SECRET }))
    const [mine, theirs] = [(await store.get('id')) as SessionData, (await store.get('id')) as SessionData]
    await store.set('id', Object.assign(mine, { mine: SECRET }))
    await store.set('id', Object.assign(theirs, { theirs: SECRET }))
    expect(await store.get('id')).toMatchObject({ SECRET, mine: SECRET, theirs: SECRET })
    expect(JSON.stringify(await knex('sessions').select())).not.toContain(SECRET)
    expect(await store.all()).toHaveLength(1)
  })

  it('that has not changed is not written', async () => {
    await using opened = await openStore(database, { codec: encrypted({ keys: [newKey] }) })
    const { store, knex } = opened
    await store.set('id', handMade({ SECRET }))
    const before = await dataOf(knex)
    await store.set('id', (await store.get('id')) as SessionData)
    expect(await dataOf(knex)).toEqual(before)
  })

  it('is rewritten with the new key at its next write, and then needs the old one no more', async () => {
    await using opened = await openStore(database, { codec: encrypted({ keys: [oldKey] }) })
    const { store, knex } = opened
    await store.set('id', handMade({ SECRET }))
    const rotated = opened.another({ codec: encrypted({ keys: [newKey, oldKey] }) })
    const after = opened.another({ codec: encrypted({ keys: [newKey] }) })
    const before = await dataOf(knex)
    const loaded = (await rotated.get('id')) as SessionData
    expect(loaded).toMatchObject({ SECRET })
    expect(await dataOf(knex)).toEqual(before)
    expect(await after.get('id')).toBeNull()
    await rotated.set('id', loaded)
    expect(await after.get('id')).toMatchObject({ SECRET })
    expect(await store.get('id')).toBeNull()
  })

  const harms: [string, (knex: Knex) => Promise<unknown>, string][] = [
    [
      'with another key',
      async () => undefined,
      'its data is encrypted with a key that is not in the option keys; add the old key at the end of the list'
    ],
    [
      'that was cut',
      async (knex) => knex('sessions').update({ data: 'e1.abc' }),
      'its data is not encrypted; if it was stored before encryption was switched on, set acceptPlain: true'
    ],
    [
      'that was replaced',
      async (knex) => knex('sessions').update({ data: '{"cookie":{},"admin":true}' }),
      'its data is not encrypted; if it was stored before encryption was switched on, set acceptPlain: true'
    ]
  ]
  it.each(harms)('%s is no session, and an event', async (what, harm, reason) => {
    await using opened = await openStore(database, { codec: encrypted({ keys: [oldKey] }) })
    await opened.store.set('id', handMade({ SECRET }))
    await harm(opened.knex)
    const keys = what === 'with another key' ? [otherKey] : [oldKey]
    const store = opened.another({ codec: encrypted({ keys }) })
    const strict = opened.another({ codec: encrypted({ keys }), unreadable: 'error' })
    const events: unknown[] = []
    store.on('unreadable', (event) => events.push(event))
    expect(await store.get('id')).toBeNull()
    expect(await store.all()).toEqual([])
    await nextTurn()
    expect(events).toEqual([{ reason }, { reason }])
    expect(store.stats().events).toEqual({ unreadable: 2 })
    await expect(strict.get('id')).rejects.toMatchObject({ code: 'ERR_SESSION_UNREADABLE', reason })
    await expect(strict.all()).rejects.toMatchObject({ code: 'ERR_SESSION_UNREADABLE' })
  })

  it('that was copied under another id is no session', async () => {
    await using opened = await openStore(database, { codec: encrypted({ keys: [oldKey] }), storedId: 'plain' })
    const { store, knex } = opened
    await store.set('id of an admin', handMade({ admin: true }))
    await store.set('id of a thief', handMade({}))
    await knex('sessions')
      .where('id', 'id of a thief')
      .update({ data: (await dataOf(knex))[1] })
    expect(await store.get('id of an admin')).toMatchObject({ admin: true })
    expect(await store.get('id of a thief')).toBeNull()
  })

  it('that cannot be read gives its visitor a new session, and no error page', async () => {
    await using opened = await openStore(database, { codec: encrypted({ keys: [oldKey] }) })
    await using site = await ScriptedSite.open(opened.store)
    const visitor = site.visitor()
    await visit(visitor, { set: { user: 'ada' } })
    await using other = await ScriptedSite.open(opened.another({ codec: encrypted({ keys: [otherKey] }) }))
    const same = other.sameVisitor(visitor)
    expect(await visit(same, 'view', { set: { user: 'eve' } })).toEqual([{}, null])
    expect(await visit(same, 'view')).toEqual([{ user: 'eve' }])
    expect(await visit(visitor, 'view')).toEqual([{ user: 'ada' }])
  })
})

const READ_ONLY: Record<DatabaseName, string> = {
  sqlite: 'PRAGMA query_only = ON',
  postgres: 'SET default_transaction_read_only = on',
  mysql: 'SET SESSION TRANSACTION READ ONLY',
  cockroach: 'SET default_transaction_read_only = on'
}

describeDatabases('a session that was written before encryption was on', (database) => {
  const codec = encrypted({ keys: [newKey], acceptPlain: true })

  it('is encrypted when it is read, once, and needs no permission afterwards', async () => {
    await using opened = await openStore(database)
    const { knex } = opened
    await opened.store.set('id', handMade({ SECRET }))
    const store = opened.another({ codec })
    expect(await store.get('id')).toMatchObject({ SECRET })
    const upgraded = await dataOf(knex)
    expect(upgraded[0]).toMatch(/^e1\./)
    expect(await store.get('id')).toMatchObject({ SECRET })
    expect(await dataOf(knex)).toEqual(upgraded)
    expect(await opened.another({ codec: encrypted({ keys: [newKey] }) }).get('id')).toMatchObject({ SECRET })
  })

  it('is no session where plain ones are not accepted', async () => {
    await using opened = await openStore(database)
    await opened.store.set('id', handMade({ SECRET }))
    expect(await opened.another({ codec: encrypted({ keys: [newKey] }) }).get('id')).toBeNull()
  })

  it('keeps its life and its owner', async () => {
    const owner = (session: Partial<SessionData>) => (session as { user?: string }).user
    await using opened = await openStore(database, { owner })
    await opened.store.set('id', handMade({ user: 'ada' }))
    const columns = ['expires_at', 'expires_hour', 'owner_id', 'created_at']
    const before = await opened.knex('sessions').select(columns)
    await opened.another({ codec, owner }).get('id')
    expect(await opened.knex('sessions').select(columns)).toEqual(before)
  })

  it('loses nothing when many requests read, change and destroy it at once', async () => {
    await using opened = await openStore(database)
    const stores = [0, 1, 2].map(() => opened.another({ codec, knex: opened.database.connect() }))
    await opened.store.set('id', handMade({ SECRET }))
    const change = async (index: number) => {
      const store = stores[index % stores.length] as (typeof stores)[number]
      const session = (await store.get('id')) as SessionData
      await store.set('id', Object.assign(session, { [`key${index}`]: index }))
    }
    await Promise.all(Array.from({ length: 12 }, (_, index) => change(index)))
    const expected = Object.fromEntries(Array.from({ length: 12 }, (_, index) => [`key${index}`, index]))
    expect(await stores[0]?.get('id')).toMatchObject({ SECRET, ...expected })

    await opened.store.set('id2', handMade({ SECRET }))
    await Promise.all(stores.flatMap((store, index) => [store.get('id2'), index === 1 ? store.destroy('id2') : undefined]))
    expect(await Promise.all(stores.map((store) => store.get('id2')))).toEqual([null, null, null])
  })

  it('is read also where it cannot be written', async () => {
    await using opened = await openStore(database)
    await opened.store.set('id', handMade({ SECRET }))
    const readOnly = opened.database.connect({ pool: { min: 0, max: 2, afterCreate: onCreate(READ_ONLY[database.name]) } })
    const errors: unknown[] = []
    const store = opened.another({ codec, knex: readOnly, onError: (error) => errors.push(error) })
    expect(await store.get('id')).toMatchObject({ SECRET })
    expect(errors).toMatchObject([{ code: 'ERR_SESSION_READ_ONLY' }])
  })
})

/** Runs a statement on every connection that a pool makes, whatever the driver. */
function onCreate(sql: string) {
  return (
    connection: { exec?(sql: string): void; query?(sql: string, done: (error: unknown) => void): void },
    done: (error: unknown, connection: unknown) => void
  ) => {
    if (connection.exec) {
      connection.exec(sql)
      done(null, connection)
    } else connection.query?.(sql, (error) => done(error, connection))
  }
}
