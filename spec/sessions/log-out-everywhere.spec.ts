import { join } from 'node:path'
import express, { type Request } from 'express'
import session, { type SessionData } from 'express-session'
import { expect, it } from 'vitest'
import type { KnexSessionStore } from '../../lib'
import { serve, Visitor } from '../support/http'
import { runProcesses } from '../support/processes'
import { describeStores, handMade, openStore, type StoreOptions, shareDatabase } from '../support/stores'
import type { Input } from './sign-ins.worker.mts'

type Data = { user?: string }
const owner: StoreOptions['owner'] = (data) => (data as Data).user
const dataOf = (req: Request) => req.session as unknown as Data

/** A door that a request waits at until the spec opens it. */
class Gate {
  private open = () => {}
  private arrive = () => {}
  private readonly opened = new Promise<void>((resolve) => (this.open = resolve))
  /** Resolves when the request has come to the gate. */
  readonly reached = new Promise<void>((resolve) => (this.arrive = resolve))

  pass(): Promise<void> {
    this.arrive()
    return this.opened
  }

  release(): void {
    this.open()
  }
}

/** A site that checks passwords slowly: a sign-in waits at its gate, with the session that it began with. */
async function openSite(store: KnexSessionStore) {
  const gates = new Map<string, Gate>()
  const gate = (name: string) => gates.get(name) ?? (gates.set(name, new Gate()).get(name) as Gate)
  const app = express()
    .use(session({ store, secret: 'secret of this spec', resave: false, saveUninitialized: false }))
    .get('/visit', (req, res) => {
      Object.assign(req.session, { visited: true })
      res.end()
    })
    .get('/in/:gate', async (req, res) => {
      await gate(req.params.gate).pass()
      dataOf(req).user = 'ada'
      res.end()
    })
    .get('/anew/:gate', (req, res) => {
      req.session.regenerate(async () => {
        await gate(req.params.gate).pass()
        dataOf(req).user = 'ada'
        res.end()
      })
    })
    // A new password: all are logged out, and this visitor is signed in.
    .get('/reset/:how', async (req, res) => {
      const { how } = req.params
      await store.destroyOwner('ada', how === 'except' ? { except: req } : {})
      if (how === 'anew') await new Promise<void>((resolve) => req.session.regenerate(() => resolve()))
      dataOf(req).user = 'ada'
      res.end()
    })
    .get('/who', (req, res) => void res.json(dataOf(req).user ?? null))
  const site = await serve(app)
  return { gate, visitor: () => new Visitor(site.url), [Symbol.asyncDispose]: () => site[Symbol.asyncDispose]() }
}

describeStores('to log out everywhere', (kind) => {
  const database = shareDatabase(kind)
  const open = (options: StoreOptions = {}) => openStore(database(), { owner, ...options })

  it.each(['/in', '/anew'])('ends a sign-in that began before, when it is done (%s)', async (path) => {
    await using opened = await open()
    const { store } = opened
    const dropped: unknown[] = []
    store.on('dropped', (event) => dropped.push(event))
    await using site = await openSite(store)
    const [before, after] = [site.visitor(), site.visitor()]
    await before.get('/visit')
    const signingIn = before.get(`${path}/before`)
    await site.gate('before').reached
    expect(await store.destroyOwner('ada')).toBe(0)
    site.gate('before').release()
    await signingIn
    site.gate('after').release()
    await after.get(`${path}/after`)
    expect(await Promise.all([before, after].map((visitor) => visitor.json('/who')))).toEqual([null, 'ada'])
    expect(await store.countOf('ada')).toBe(1)
    expect(dropped).toEqual([{ operation: 'set' }])
  })

  it('does so for the sign-ins of another process, whatever its clock says', async () => {
    await using opened = await open()
    const { store } = opened
    for (const hours of [-2, 2]) {
      const other = opened.another({ owner, clock: () => Date.now() + hours * 3_600_000 })
      await using site = await openSite(other)
      const [before, after] = [site.visitor(), site.visitor()]
      const signingIn = before.get('/in/before')
      await site.gate('before').reached
      await store.destroyOwner('ada')
      site.gate('before').release()
      await signingIn
      site.gate('after').release()
      await after.get('/in/after')
      expect(await Promise.all([before, after].map((visitor) => visitor.json('/who')))).toEqual([null, 'ada'])
      await other.destroyOwner('ada')
    }
  })

  it.each([
    ['except', 'ada'],
    ['anew', 'ada'],
    ['neither', null]
  ])('keeps the visitor that asks for it, if it is excepted or gets a new session after it: %s', async (how, user) => {
    await using opened = await open()
    await using site = await openSite(opened.store)
    const visitor = site.visitor()
    await visitor.get('/visit')
    await visitor.get(`/reset/${how}`)
    expect(await visitor.json('/who')).toBe(user)
  })

  it('leaves the sign-ins of other owners and of other prefixes alone', async () => {
    await using opened = await open({ prefix: 'web:' })
    await using site = await openSite(opened.store)
    const visitor = site.visitor()
    const signingIn = visitor.get('/in/gate')
    await site.gate('gate').reached
    await opened.store.destroyOwner('ben')
    await opened.another({ owner, prefix: 'admin:' }).destroyOwner('ada')
    site.gate('gate').release()
    await signingIn
    expect(await visitor.json('/who')).toBe('ada')
  })

  it('ends the sign-in when its transaction is committed', async () => {
    await using opened = await open()
    const { store, knex } = opened
    await store.set('id', handMade())
    const loaded = (await store.get('id')) as SessionData & Data
    await store.destroyOwner('ada')
    loaded.user = 'ada'
    const gone = new Promise((resolve) => store.once('dropped', resolve))
    await knex.transaction((trx) => store.withTransaction(trx).set('id', loaded))
    await gone
    expect(await store.get('id')).toBeNull()
  })

  it('leaves one row that is no session, and is pruned after the grace', async () => {
    await using opened = await open()
    const { store, knex, tableName } = opened
    for (let time = 0; time < 3; time++) await store.destroyOwner('ada')
    expect(await knex(tableName).where('id', 'like', '%log-out%')).toHaveLength(1)
    expect([await store.length(), await store.ids(), await store.all(), await store.countByOwner()]).toEqual([0, [], [], new Map()])
    expect(await store.prune()).toBe(0)
    await knex(tableName).update({ expires_hour: 1 })
    expect(await store.prune()).toBe(1)
  })

  it('misses no sign-in that ran beside it, however often', async () => {
    await using opened = await open()
    const { store } = opened
    const other = opened.another({ owner })
    for (let round = 0; round < 20; round++) {
      const ids = Array.from({ length: 8 }, (_, number) => `${round}:${number}`)
      const anonymous = (await Promise.all(
        ids.map(async (id) => {
          await other.set(id, handMade())
          return other.get(id)
        })
      )) as (SessionData & Data)[]
      for (const data of anonymous) data.user = 'ada'
      await Promise.all([
        ...ids.slice(0, 4).map((id, number) => other.set(id, anonymous[number] as SessionData)),
        store.destroyOwner('ada'),
        ...ids.slice(4).map((id, number) => other.set(id, anonymous[number + 4] as SessionData))
      ])
      expect(await store.countOf('ada')).toBe(0)
    }
  })

  it('misses no sign-in of another process that began before', async () => {
    await using opened = await open()
    const { store, tableName } = opened
    await store.ready()
    for (let round = 0; round < 3; round++) {
      const inputs = ['in-loaded', 'in-loaded', 'in-loaded', 'out'].map((what, process): Input => {
        const ids = Array.from({ length: what === 'out' ? 0 : 40 }, (_, number) => `${round} ${process} ${number}`)
        return { config: opened.database.config, tableName, ids, what: what as Input['what'] }
      })
      const results = await runProcesses<Input, void>(join(__dirname, 'sign-ins.worker.mts'), inputs)
      expect(results.map(({ error }) => error)).toEqual(inputs.map(() => undefined))
      expect(await store.countOf('ada')).toBe(0)
    }
  })

  it('costs one statement at a sign-in, and none at any other write', async () => {
    await using opened = await open()
    const { store } = opened
    const statements = () => store.stats().statements.owner?.calls ?? 0
    await store.set('id', handMade())
    expect(statements()).toBe(0)
    const loaded = (await store.get('id')) as SessionData & Data
    loaded.user = 'ada'
    await store.set('id', loaded)
    expect(statements()).toBe(1)
    Object.assign(loaded, { theme: 'dark' })
    await store.set('id', loaded)
    await store.touch('id', loaded)
    expect(statements()).toBe(1)
  })
})
