import express from 'express'
import session, { type SessionData } from 'express-session'
import { expect, it } from 'vitest'
import type { SessionCodec } from '../../lib'
import { serve, Visitor } from '../support/http'
import { describeStores, handMade, openStore, shareDatabase } from '../support/stores'

const dataOf = (found: SessionData | null) => {
  const { cookie: _cookie, ...data } = found ?? ({} as SessionData)
  return data as Record<string, unknown>
}

describeStores('the data of a session', (kind) => {
  const database = shareDatabase(kind)

  it.each([
    ['text of every script', { text: 'Grüße 日本語 👩‍👩‍👧 \u202e e\u0301' }],
    ['halves of surrogate pairs', { high: '\ud83d', low: '\ude00', 'key \udc00': 1 }],
    ['NUL and a separator of records', { text: 'a\0b\u001ec', '\0': '\u001e' }],
    ['quotes, backslashes and what looks like a binding', { text: `'"\`\\ ? ?? :name $1 %s \\u0000` }],
    ['a Date, which comes back as its text', { at: new Date(0) }],
    ['undefined, functions and symbols, which JSON leaves out', { no: undefined, call: () => 1, symbol: Symbol('s') }]
  ])('comes back: %s', async (_what, data) => {
    await using opened = await openStore(database())
    await opened.store.set('id', handMade(data))
    expect(dataOf(await opened.store.get('id'))).toEqual(JSON.parse(JSON.stringify(data)))
  })

  it('of many sessions written together does not mix', async () => {
    await using opened = await openStore(database())
    const texts = ['\u001e', '\0', '', 'a\u001eb', '"', "'", '\\', '\ud800', '{}', 'null', ',', '\n']
    await Promise.all(texts.map((text, number) => opened.store.set(`${number}`, handMade({ text }))))
    const found = await Promise.all(texts.map((_text, number) => opened.store.get(`${number}`)))
    expect(found.map((one) => dataOf(one).text)).toEqual(texts)
  })

  it('may have a key named __proto__, which changes no prototype', async () => {
    await using opened = await openStore(database())
    const data = JSON.parse('{"cookie":{"originalMaxAge":null,"expires":null},"__proto__":{"admin":true},"user":"ada"}') as SessionData
    await opened.store.set('id', data)
    const found = (await opened.store.get('id')) as SessionData & { admin?: boolean; user: string }
    expect(found.admin).toBeUndefined()
    expect(Object.keys(found).sort()).toEqual(['__proto__', 'cookie', 'user'])
    found.user = 'bob'
    await opened.store.set('id', found)
    expect(Object.keys((await opened.store.get('id')) as object).sort()).toEqual(['__proto__', 'cookie', 'user'])
  })

  it('may have 17 MB, or the database says how much it may have', async () => {
    await using opened = await openStore(database(), { timeoutMs: 60_000 })
    const text = 'Grüße 😀 '.repeat(1_417_000)
    const outcome = await opened.store.set('id', handMade({ text })).catch((error) => error)
    if (kind.name === 'mysql' && outcome !== undefined) {
      expect(outcome).toMatchObject({ code: 'ERR_SESSION_RECORD_TOO_LARGE', message: expect.stringContaining('max_allowed_packet') })
      return
    }
    expect(outcome).toBeUndefined()
    const found = dataOf(await opened.store.get('id'))
    expect(Buffer.byteLength(String(found.text))).toBeGreaterThan(17 * 1024 * 1024)
    expect(found.text === text).toBe(true)
  })

  const circular: Record<string, unknown> = {}
  circular.self = circular
  it.each([
    ['a BigInt', { amount: 5n }, 'the session cannot be stored: it holds a BigInt, which JSON cannot write; store it as a string'],
    [
      'itself',
      { circular },
      'the session cannot be stored: it refers to itself (a circular reference); store a copy without the reference'
    ],
    [
      'a toJSON that throws',
      {
        user: {
          toJSON() {
            throw new TypeError('the secret')
          }
        }
      },
      'the session cannot be stored: the codec, or a toJSON or getter in the session, threw an error; find out which one (its error is left out, because it may show the session)'
    ]
  ])('with %s in it is one clear error, and what was stored stays', async (_what, data, message) => {
    await using opened = await openStore(database())
    await opened.store.set('id', handMade({ user: 'ada' }))
    const writing = [opened.store.set('id', handMade(data)), opened.store.set('other', handMade({ user: 'bob' }))]
    const [outcome] = await Promise.allSettled(writing)
    expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'ERR_SESSION_UNSERIALIZABLE', message } })
    expect(dataOf(await opened.store.get('id'))).toEqual({ user: 'ada' })
    expect(dataOf(await opened.store.get('other'))).toEqual({ user: 'bob' })
  })

  it('must be an object with a cookie, and what is none is not shown', async () => {
    await using opened = await openStore(database())
    for (const wrong of ['the secret', 5, null, undefined, { user: 'the secret' }]) {
      const error = await opened.store.set('id', wrong as unknown as SessionData).catch((caught) => caught)
      expect(error).toMatchObject({ code: 'ERR_SESSION_UNSERIALIZABLE' })
      expect(error.message).not.toContain('the secret')
    }
  })

  it('goes through the codec that was given, sync or async', async () => {
    const reversed: SessionCodec = {
      encode: async (data) => [...JSON.stringify(data)].reverse().join(''),
      decode: (text) => JSON.parse([...text].reverse().join(''))
    }
    await using opened = await openStore(database(), { codec: reversed })
    await opened.store.set('id', handMade({ user: 'ada' }))
    const [{ data }] = await opened.knex(opened.tableName)
    expect(data).toContain('"ada":"resu"')
    expect(dataOf(await opened.store.get('id'))).toEqual({ user: 'ada' })
  })

  it('has the owner that the application names, and none where it names none', async () => {
    await using opened = await openStore(database(), { owner: (found) => (found as { user?: string | number }).user })
    const { store, knex, tableName } = opened
    const owners = ['ada', 7, undefined, '', 'grüße 😀']
    await Promise.all(owners.map((user, number) => store.set(`${number}`, handMade({ user, number }))))
    const rows = await knex(tableName).select('owner_id', 'data')
    const byNumber = new Map(rows.map((row) => [JSON.parse(row.data).number, row.owner_id]))
    expect(owners.map((_owner, number) => byNumber.get(number))).toEqual(['ada', '7', null, null, 'grüße 😀'])
    await store.destroy('0')
    expect((await knex(tableName).whereNotNull('owner_id')).length).toBe(2)
  })

  it('has no owner that would be given to another in the same batch, nor one that is too long', async () => {
    await using opened = await openStore(database(), { owner: (found) => (found as { user?: string }).user })
    const users = ['a', 'b\u001ec', 'd', 'e\0', 'f'.repeat(256), 'g']
    for (const user of users) await opened.store.set(user, handMade()).catch(() => undefined)
    const loaded = await Promise.all(users.map((user) => opened.store.get(user)))
    const writes = loaded.map((found, number) =>
      opened.store.set(users[number] as string, Object.assign(found as SessionData, { user: users[number] }))
    )
    const outcomes = await Promise.allSettled(writes)
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'rejected', 'rejected', 'fulfilled'])
    expect(outcomes[3]).toMatchObject({
      reason: { message: expect.stringMatching(/^the session cannot be stored: its owner id cannot be stored: /) }
    })
    const owners = await opened.knex(opened.tableName).whereNotNull('owner_id').orderBy('owner_id').pluck('owner_id')
    expect(owners).toEqual(['a', 'b\u001ec', 'd', 'g'])
  })
})

describeStores('a row that is not a session', (kind) => {
  const database = shareDatabase(kind)
  const rows = [
    'null',
    '5',
    '"text"',
    '[]',
    '{}',
    '{"cookie":null}',
    '{"cookie":5}',
    '{"cookie":[]}',
    '{"cookie":',
    '',
    'undefined',
    '{"user":"ada"}'
  ]

  async function withRow(data: string, options = {}) {
    const opened = await openStore(database(), { storedId: 'plain', ...options })
    const events: string[] = []
    opened.store.on('unreadable', ({ reason }) => events.push(reason))
    await opened.store.set('id', handMade({ user: 'ada' }))
    await opened.knex(opened.tableName).update({ data })
    return { opened, events }
  }

  it.each(rows)('is no session, and an event: %j', async (data) => {
    const { opened, events } = await withRow(data)
    await using _ = opened
    expect(await opened.store.get('id')).toBeNull()
    // Listeners are told in a turn of their own.
    await new Promise((resolve) => setImmediate(resolve))
    expect(events).toHaveLength(1)
    expect(events[0]).toMatch(
      /^its data (is not an object|has no cookie|is not what the codec writes, so another program or another codec wrote it)$/
    )
    expect(await opened.store.all()).toEqual([])
    expect(await opened.store.length()).toBe(1)
    await opened.store.set('id', handMade({ user: 'bob' }))
    expect(await opened.store.get('id')).toMatchObject({ user: 'bob' })
  })

  it('is an error, where the application wants to know', async () => {
    const { opened } = await withRow('null', { unreadable: 'error' })
    await using _ = opened
    await expect(opened.store.get('id')).rejects.toMatchObject({ code: 'ERR_SESSION_UNREADABLE' })
  })

  it('is a new session for the visitor, and no error page', async () => {
    const { opened } = await withRow('null')
    await using _ = opened
    const app = express()
    app.use(session({ store: opened.store, secret: 'secret', resave: false, saveUninitialized: false, genid: () => `id ${Math.random()}` }))
    app.get('/login', (request, response) => {
      Object.assign(request.session, { user: 'ada' })
      response.send(request.sessionID)
    })
    app.get('/', (request, response) => {
      response.json((request.session as { user?: string }).user ?? null)
    })
    await using site = await serve(app)
    // Also what only looks like a session of express-session.
    const more = [
      '{"cookie":{"maxAge":"soon"}}',
      '{"cookie":{"expires":"never"}}',
      '{"cookie":{"expires":{}}}',
      '{"cookie":{"originalMaxAge":"long"}}'
    ]
    for (const data of [...rows, ...more]) {
      const visitor = new Visitor(site.url)
      const id = await visitor.text('/login')
      await opened.knex(opened.tableName).where({ id }).update({ data })
      for (let visit = 0; visit < 2; visit++) {
        const response = await visitor.get('/')
        expect({ data, status: response.status, body: await response.text() }).toEqual({ data, status: 200, body: 'null' })
      }
      await visitor.text('/login')
      expect(await visitor.text('/')).toBe('"ada"')
    }
  })
})
