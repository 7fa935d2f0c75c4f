import express, { type Request } from 'express'
import session from 'express-session'
import { expect, it } from 'vitest'
import type { KnexSessionStore } from '../../lib'
import { serve, Visitor } from '../support/http'
import { describeStores, openStore, type StoreOptions, shareDatabase } from '../support/stores'

interface User {
  id: number
  name: string
  password: string
}
const dataOf = (req: Request) => req.session as unknown as { user?: { id: number } }
const owner: StoreOptions['owner'] = (data) => (data as { user?: { id: number } }).user?.id

/** What applications do that end sessions by SQL today: Unleash, Nango and Lightdash, on a table of users. */
async function openApplication({
  knex,
  store,
  usersTable
}: {
  knex: StoreOptions['knex'] & object
  store: KnexSessionStore
  usersTable: string
}) {
  await knex.schema.createTable(usersTable, (table) => {
    table.increments('id')
    table.string('name')
    table.string('password')
  })
  await knex(usersTable).insert([
    { name: 'ada', password: 'first' },
    { name: 'ben', password: 'second' }
  ])
  const users = () => knex<User>(usersTable)
  const app = express()
    .use(express.json())
    .use(session({ store, secret: 'secret of this spec', resave: false, saveUninitialized: false, cookie: { maxAge: 3_600_000 } }))
    .post('/sign-in', async (req, res) => {
      const user = await users().where({ name: req.body.name, password: req.body.password }).first()
      if (user === undefined) return void res.sendStatus(401)
      await new Promise((resolve) => req.session.regenerate(resolve))
      dataOf(req).user = { id: user.id }
      // As Unleash and Passport do: the answer leaves when the session is stored.
      req.session.save((error) => res.sendStatus(error ? 500 : 204))
    })
    .post('/password', async (req, res) => {
      const { user } = dataOf(req)
      if (user === undefined) return void res.sendStatus(401)
      await users().where({ id: user.id }).update({ password: req.body.password })
      await store.destroyOwner(user.id, { except: req })
      res.sendStatus(204)
    })
    .post('/log-out-everywhere', async (req, res) => {
      const { user } = dataOf(req)
      if (user === undefined) return void res.sendStatus(401)
      await store.destroyOwner(user.id)
      res.sendStatus(204)
    })
    // An administrator deletes a user: the row and the sessions, both or neither.
    .delete('/users/:id', async (req, res) => {
      try {
        await knex.transaction(async (trx) => {
          await trx(usersTable).where({ id: req.params.id }).delete()
          await store.withTransaction(trx).destroyOwner(Number(req.params.id))
          if (req.query.fails !== undefined) throw new RangeError('on purpose')
        })
        res.sendStatus(204)
      } catch {
        res.sendStatus(500)
      }
    })
    .get('/who', async (req, res) => {
      const { user } = dataOf(req)
      res.json(user === undefined ? null : ((await users().where({ id: user.id }).first())?.name ?? null))
    })
  const site = await serve(app)
  return {
    async signIn(name: string, password: string): Promise<Visitor> {
      const visitor = new Visitor(site.url)
      expect((await visitor.post('/sign-in', { name, password })).status).toBe(204)
      return visitor
    },
    whoAre: (...visitors: Visitor[]) => Promise.all(visitors.map((visitor) => visitor.json('/who'))),
    async [Symbol.asyncDispose]() {
      await site[Symbol.asyncDispose]()
      await knex.schema.dropTable(usersTable)
    }
  }
}

describeStores('an application with users', (kind) => {
  const database = shareDatabase(kind)
  const open = async () => {
    const opened = await openStore(database(), { owner, maxSessionsPerOwner: 5 })
    const application = await openApplication({ ...opened, usersTable: `users_of_${opened.tableName}` })
    return {
      ...opened,
      ...application,
      async [Symbol.asyncDispose]() {
        await application[Symbol.asyncDispose]()
        await opened[Symbol.asyncDispose]()
      }
    }
  }

  it('lets a user have five sessions: the sixth sign-in ends the first', async () => {
    await using application = await open()
    const visitors: Visitor[] = []
    for (let number = 0; number < 6; number++) visitors.push(await application.signIn('ada', 'first'))
    expect(await application.whoAre(...visitors)).toEqual([null, 'ada', 'ada', 'ada', 'ada', 'ada'])
  })

  it('lets forty sign in at once, and five stay', async () => {
    await using application = await open()
    const visitors = await Promise.all(Array.from({ length: 40 }, () => application.signIn('ada', 'first')))
    const names = await application.whoAre(...visitors)
    expect(names.filter((name) => name === 'ada')).toHaveLength(5)
    expect(await application.store.countOf(1)).toBe(5)
  })

  it('ends all other sessions with a new password', async () => {
    await using application = await open()
    const [here, there, other] = [
      await application.signIn('ada', 'first'),
      await application.signIn('ada', 'first'),
      await application.signIn('ben', 'second')
    ]
    expect((await here.post('/password', { password: 'new' })).status).toBe(204)
    expect(await application.whoAre(here, there, other)).toEqual(['ada', null, 'ben'])
    expect(await application.whoAre(await application.signIn('ada', 'new'))).toEqual(['ada'])
  })

  it('logs a user out everywhere, and the next sign-in stays', async () => {
    await using application = await open()
    const [here, there] = [await application.signIn('ada', 'first'), await application.signIn('ada', 'first')]
    await here.post('/log-out-everywhere')
    expect(await application.whoAre(here, there, await application.signIn('ada', 'first'))).toEqual([null, null, 'ada'])
  })

  it('deletes a user with all sessions, both or neither', async () => {
    await using application = await open()
    const ada = await application.signIn('ada', 'first')
    const administrator = await application.signIn('ben', 'second')
    expect((await administrator.request('/users/1?fails', { method: 'DELETE' })).status).toBe(500)
    expect(await application.whoAre(ada, administrator)).toEqual(['ada', 'ben'])
    expect((await administrator.request('/users/1', { method: 'DELETE' })).status).toBe(204)
    expect(await application.whoAre(ada, administrator)).toEqual([null, 'ben'])
    expect(await application.store.countOf(1)).toBe(0)
  })
})
