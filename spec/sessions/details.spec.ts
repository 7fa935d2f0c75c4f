import fastifyCookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import express from 'express'
import session, { type SessionData } from 'express-session'
import fastify from 'fastify'
import { expect, it } from 'vitest'
import { encrypted, type KnexSessionStore } from '../../lib'
import { serve, Visitor } from '../support/http'
import { Clock, describeStores, handMade, openStore, StatementLog, type StoreOptions, shareDatabase } from '../support/stores'

type Data = SessionData & { user?: string | undefined; device?: string; cart?: number; theme?: string }

const owner: StoreOptions['owner'] = (data) => (data as Data).user
const details: StoreOptions['details'] = (data, req) => ({
  agent: req?.get('user-agent') ?? (data as Data).device ?? 'unknown',
  address: req?.ip
})

const detailsOf = async (store: KnexSessionStore, user: string) => (await store.ofOwner(user)).map(({ details }) => details)

describeStores('the details of a session', (kind) => {
  const database = shareDatabase(kind)
  const open = async (options: StoreOptions = {}) => {
    const clock = new Clock()
    const opened = await openStore(database(), { owner, details, clock: clock.read, ...options })
    return { ...opened, clock, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() }
  }
  const rowsOf = async ({ knex, tableName }: { knex: StoreOptions['knex'] & object; tableName: string }) =>
    (await knex(tableName).select('data', 'revision')).map(({ data, revision }) => ({ data: String(data), revision: Number(revision) }))

  it('are recorded at the sign-in, from its request, and are not part of the session', async () => {
    await using opened = await open()
    const { store } = opened
    const app = express()
      .use(session({ store, secret: 'secret of this spec', resave: false, saveUninitialized: true }))
      .get('/', (req, res) => void res.json(Object.keys(req.session)))
      .get('/in', (req, res) => {
        ;(req.session as unknown as Data).user = 'ada'
        res.json(Object.keys(req.session))
      })
      .get('/theme', (req, res) => {
        ;(req.session as unknown as Data).theme = 'dark'
        res.json(Object.keys(req.session))
      })
    await using site = await serve(app)
    const visitor = new Visitor(site.url)
    await visitor.get('/', { headers: { 'user-agent': 'Phone/1' } })
    expect(await store.ofOwner('ada')).toEqual([])
    await visitor.get('/in', { headers: { 'user-agent': 'Phone/2' } })
    // Another program with the same cookie: the details are those of the sign-in.
    const later = await visitor.json<string[]>('/theme', { headers: { 'user-agent': 'Phone/3' } })
    expect(later).toEqual(['cookie', 'user', 'theme'])
    const [device] = await store.ofOwner('ada')
    expect(device?.details).toEqual({ agent: 'Phone/2', address: expect.stringContaining('127.0.0.1') })
    expect(Object.keys(device?.session ?? {})).toEqual(['cookie', 'user', 'theme'])
    expect((await store.all()).map((data) => Object.keys(data))).toEqual([['cookie', 'user', 'theme']])
  })

  it('change with the owner, and go with it', async () => {
    await using opened = await open()
    const { store } = opened
    await store.set('id', handMade({ user: 'ada', device: 'phone' }))
    expect(await detailsOf(store, 'ada')).toEqual([{ agent: 'phone' }])
    const loaded = (await store.get('id')) as Data
    loaded.user = 'ben'
    loaded.device = 'laptop'
    await store.set('id', loaded)
    expect([await detailsOf(store, 'ada'), await detailsOf(store, 'ben')]).toEqual([[], [{ agent: 'laptop' }]])
    const out = (await store.get('id')) as Data
    out.user = undefined
    await store.set('id', out)
    expect((await rowsOf(opened)).filter(({ data }) => data.includes('agent'))).toEqual([])
  })

  it('stay while the session is written, unchanged, touched and merged', async () => {
    await using opened = await open()
    const { store, clock } = opened
    await store.set('id', handMade({ user: 'ada', device: 'phone' }))
    const [here, there] = [(await store.get('id')) as Data, (await store.get('id')) as Data]
    here.cart = 3
    there.theme = 'dark'
    await store.set('id', here)
    await store.set('id', there)
    const merged = (await store.get('id')) as Data
    expect(merged).toMatchObject({ cart: 3, theme: 'dark', user: 'ada' })
    const [before] = await rowsOf(opened)
    clock.advance(1000)
    await store.set('id', merged)
    await store.touch('id', merged)
    const [after] = await rowsOf(opened)
    expect(after).toEqual(before)
    expect(await detailsOf(store, 'ada')).toEqual([{ agent: 'phone' }])
  })

  it('that two requests record at once are no conflict of the session', async () => {
    await using opened = await open()
    const { store } = opened
    const conflicts: unknown[] = []
    store.on('conflict', (event) => conflicts.push(event))
    await store.set('id', handMade())
    const [here, there] = [(await store.get('id')) as Data, (await store.get('id')) as Data]
    Object.assign(here, { user: 'ada', device: 'phone' })
    Object.assign(there, { user: 'ada', device: 'phone' })
    await store.set('id', here)
    await store.set('id', there)
    expect(await detailsOf(store, 'ada')).toEqual([{ agent: 'phone' }])
    expect(conflicts).toEqual([])
  })

  it('stay when the option is gone, and are none for a session from before the option', async () => {
    await using opened = await open()
    const { store } = opened
    const without = opened.another({ owner, details: undefined as never, clock: opened.clock.read })
    await store.set('id', handMade({ user: 'ada', device: 'phone' }))
    const loaded = (await without.get('id')) as Data
    expect(Object.keys(loaded)).toEqual(['cookie', 'user', 'device'])
    loaded.theme = 'dark'
    await without.set('id', loaded)
    expect(await detailsOf(without, 'ada')).toEqual([{ agent: 'phone' }])
    await without.set('other', handMade({ user: 'ben' }))
    expect(await detailsOf(store, 'ben')).toEqual([null])
  })

  it('are encrypted with the session', async () => {
    await using opened = await open({ codec: encrypted({ keys: ['a key of this spec, long and varied'] }) })
    const { store } = opened
    await store.set('id', handMade({ user: 'ada', device: 'phone' }))
    expect((await rowsOf(opened))[0]?.data).not.toContain('phone')
    expect(await detailsOf(store, 'ada')).toEqual([{ agent: 'phone' }])
    const [before] = await rowsOf(opened)
    await store.set('id', (await store.get('id')) as Data)
    expect(await rowsOf(opened)).toEqual([before])
  })

  it('come from the session where the client shows no request, as Fastify', async () => {
    await using opened = await open()
    const { store } = opened
    const app = fastify()
    await app.register(fastifyCookie)
    await app.register(fastifySession, { store, secret: 'a secret of this spec of 32 characters', cookie: { secure: false } })
    app.get('/in', async (request) => {
      const data = request.session as unknown as Data
      data.user = 'ada'
      data.device = request.headers['user-agent'] ?? ''
      return 'in'
    })
    app.get('/theme', async (request) => {
      ;(request.session as unknown as Data).theme = 'dark'
      return 'dark'
    })
    const url = await app.listen({ host: '127.0.0.1', port: 0 })
    try {
      const visitor = new Visitor(url)
      await visitor.get('/in', { headers: { 'user-agent': 'Tablet/1' } })
      await visitor.get('/theme', { headers: { 'user-agent': 'Tablet/2' } })
      expect(await detailsOf(store, 'ada')).toEqual([{ agent: 'Tablet/1' }])
    } finally {
      await app.close()
    }
  })

  it('leave the merging by key to the sessions of express-openid-connect', async () => {
    await using opened = await open({ owner: (data) => (data as unknown as { data?: Data }).data?.user })
    const { store } = opened
    const envelope = { header: { iat: 1, uat: 1, exp: 9 }, data: { user: 'ada' } as object, cookie: { originalMaxAge: 60_000 } }
    await store.set('id', envelope as unknown as SessionData)
    const load = async () => (await store.get('id')) as unknown as typeof envelope
    const [here, there] = [await load(), await load()]
    Object.assign(here.data, { cart: 'tea' })
    Object.assign(there.data, { theme: 'dark' })
    await store.set('id', here as unknown as SessionData)
    await store.set('id', there as unknown as SessionData)
    expect((await load()).data).toEqual({ user: 'ada', cart: 'tea', theme: 'dark' })
    expect(await detailsOf(store, 'ada')).toEqual([{ agent: 'unknown' }])
  })

  it('are small: long texts are cut, at no half of a character', async () => {
    await using opened = await open({ details: () => ({ agent: `${'x'.repeat(255)}🦉`, long: 'y'.repeat(10_000), missing: undefined }) })
    const { store } = opened
    await store.set('id', handMade({ user: 'ada' }))
    expect(await detailsOf(store, 'ada')).toEqual([{ agent: 'x'.repeat(255), long: 'y'.repeat(256) }])
  })

  it.each<[what: string, given: () => unknown, message: RegExp]>([
    ['a text', () => 'phone', /details must return an object of at most 16 strings, numbers, true, false or null, got a string/],
    ['a promise', () => Promise.reject(new Error('private')), /got a promise/],
    ['an object in it', () => ({ agent: { name: 'private' } }), /got an object in "agent"/],
    ['a number that is none', () => ({ agent: Number.NaN }), /got NaN in "agent"/],
    ['too many', () => Object.fromEntries(Array.from({ length: 17 }, (_, number) => [`n${number}`, 1])), /got 17 of them/]
  ])('that are wrong refuse the write and show nothing: %s', async (_what, given, message) => {
    await using opened = await open({ details: given as never })
    const { store } = opened
    const error = await store.set('id', handMade({ user: 'ada' })).catch((thrown) => thrown)
    expect(error).toMatchObject({ code: 'ERR_SESSION_UNSERIALIZABLE', message: expect.stringMatching(message) })
    expect(String(error.message)).not.toContain('private')
    expect(await store.get('id')).toBeNull()
  })

  it('name the option if it throws', async () => {
    const thrown = new Error('of the application')
    await using opened = await open({
      details: () => {
        throw thrown
      }
    })
    await expect(opened.store.set('id', handMade({ user: 'ada' }))).rejects.toMatchObject({
      code: 'ERR_SESSION_OPTION_FUNCTION',
      message: expect.stringContaining('details'),
      cause: thrown
    })
  })

  it('keep their key to themselves', async () => {
    await using opened = await open()
    await expect(opened.store.set('id', handMade({ '@details': 1 }))).rejects.toThrow(/"@details".*choose another name/)
  })

  it('cost no statement', async () => {
    await using opened = await open()
    const { store, knex } = opened
    await store.set('warm', handMade())
    const log = new StatementLog(knex)
    const loaded = (await store.get('warm')) as Data
    loaded.user = 'ada'
    await store.set('warm', loaded)
    const signedIn = log.count
    log.clear()
    const again = (await store.get('warm')) as Data
    again.theme = 'dark'
    await store.set('warm', again)
    expect(log.count).toBeLessThanOrEqual(signedIn)
  })
})
