import { EventEmitter, once } from 'node:events'
import { get } from 'node:http'
import { expect, it, vi } from 'vitest'
import { UnitEndedError } from '../../lib/unit-of-work'
import { type DatabaseName, describeDatabases } from '../support/databases'
import { Visitor } from '../support/http'
import { PATIENT } from '../support/patience'
import { namesIn, usedConnections } from './names'
import { type Context, SESSION_SITES, type SessionSite } from './session-sites'

/** What a handler begins and does not await: each is undone or kept as a whole. */
const OPERATIONS: Readonly<Record<string, (context: Context, site: SessionSite) => unknown>> = {
  destroy: ({ session }) => session.destroy(),
  save: ({ session }) => {
    session.name = 'ben'
    return session.save()
  },
  regenerate: ({ session }) => session.regenerate(),
  query: (_context, { work }) => work.db('names').insert({ name: 'query' }).then(ignore, ignore),
  savepoint: (_context, { work }) =>
    work.run(async () => {
      await work.db('names').insert({ name: 'one' })
      await work.db.transaction((trx) => trx('names').insert({ name: 'two' }))
    })
}

/** How the request ends, at once after that. */
const ENDINGS: Readonly<Record<string, (context: Context) => unknown>> = {
  success: ({ redirect }) => redirect('/'),
  failure: ({ fail }) => fail(500),
  throw: () => {
    throw new RangeError('on purpose')
  },
  abort: ({ hang }) => hang()
}

const STATUS = { success: 303, failure: 500, throw: 500, abort: 0 }
const SIGNED_IN = { session: 'ada', names: [] }
const KEPT = {
  destroy: { session: null, names: [] },
  save: { session: 'ben', names: [] },
  regenerate: { session: null, names: [] },
  query: { session: 'ada', names: ['query'] },
  savepoint: { session: 'ada', names: ['one', 'two'] }
}

describeDatabases('what nobody awaited', (database) => {
  for (const [framework, withSessionSite] of Object.entries(SESSION_SITES)) {
    for (const [operation, begin] of Object.entries(OPERATIONS)) {
      it(`${operation}: kept with a success, undone with anything else (${framework})`, () =>
        withSessionSite(database, async (site) => {
          const hanging = new EventEmitter()
          for (const [ending, end] of Object.entries(ENDINGS)) {
            site.on(`/${ending}`, async (context) => {
              const begun = begin(context, site)
              Promise.resolve(begun).catch(ignore)
              if (ending === 'abort') hanging.emit('hangs')
              return end(context)
            })
          }
          for (const ending of ['failure', 'throw', 'abort', 'success'] as const) {
            const visitor = new Visitor(site.url)
            await visitor.get('/login/ada')
            const old = visitor.clone()
            const status =
              ending === 'abort' ? await goAway(visitor, '/abort', once(hanging, 'hangs')) : await statusOf(visitor, `/${ending}`)
            await vi.waitFor(() => expect(usedConnections(site.knex)).toBe(0), PATIENT)
            const { name } = await old.json<{ name: string | null }>('/whoami')
            const seen = { ending, status, session: name, names: await namesIn(site.knex) }
            const expected = ending === 'success' ? KEPT[operation as keyof typeof KEPT] : SIGNED_IN
            expect(seen).toEqual({ ending, status: STATUS[ending], ...expected })
            expect(await idleInTransaction(database.name, site)).toBe(0)
          }
        }))
    }

    it(`the pool is whole after thirty of them (${framework})`, () =>
      withSessionSite(database, async (site) => {
        for (const [operation, begin] of Object.entries(OPERATIONS)) {
          site.on(`/${operation}/:status`, (context) => {
            Promise.resolve(begin(context, site)).catch(ignore)
            return context.status === 303 ? context.redirect('/') : context.fail(context.status)
          })
        }
        const visits = Array.from({ length: 30 }, async (_, index) => {
          const visitor = new Visitor(site.url)
          await visitor.get('/login/ada')
          const operation = ['destroy', 'save', 'regenerate'][index % 3]
          return [operation, await statusOf(visitor, `/${operation}/${index % 2 ? 500 : 303}`)]
        })
        const outcomes = await Promise.all(visits)
        expect(outcomes).toEqual(outcomes.map(([operation], index) => [operation, index % 2 ? 500 : 303]))
        await vi.waitFor(() => expect(usedConnections(site.knex)).toBe(0), PATIENT)
        expect(await idleInTransaction(database.name, site)).toBe(0)
        await Promise.all(Array.from({ length: 20 }, () => site.knex('names').select()))
      }))

    it(`what a timer begins while the unit ends is kept whole, or refused in words (${framework})`, () =>
      withSessionSite(database, async (site) => {
        const outcomes: { name: string; outcome: PromiseSettledResult<unknown> }[] = []
        site.on('/timers', (context) => {
          // Each row of the first holds the unit open a little.
          void Promise.all(Array.from({ length: 20 }, (_, index) => site.work.db('names').insert({ name: `first ${index}` })))
          for (let index = 0; index < 40; index++) {
            const name = `timer ${index}`
            const begin = async () => {
              const [outcome] = await Promise.allSettled([site.work.db('names').insert({ name })])
              outcomes.push({ name, outcome })
            }
            setTimeout(begin, index / 2)
          }
          return context.redirect('/')
        })
        expect(await statusOf(new Visitor(site.url), '/timers')).toBe(303)
        await vi.waitFor(() => expect(outcomes).toHaveLength(40), PATIENT)
        await vi.waitFor(() => expect(usedConnections(site.knex)).toBe(0), PATIENT)
        const kept = outcomes.filter(({ outcome }) => outcome.status === 'fulfilled').map(({ name }) => name)
        const refused = outcomes.flatMap(({ outcome }) => (outcome.status === 'rejected' ? [outcome.reason] : []))
        expect(refused).toEqual(refused.map(() => expect.any(UnitEndedError)))
        const first = Array.from({ length: 20 }, (_, index) => `first ${index}`)
        expect((await namesIn(site.knex)).sort()).toEqual([...first, ...kept].sort())
      }))

    it(`a client that has gone before the unit began changes nothing (${framework})`, () =>
      withSessionSite(database, async (site) => {
        const events = new EventEmitter()
        site.delay('/slow', async () => {
          const gone = once(events, 'gone')
          events.emit('waits')
          await gone
        })
        let outcome: PromiseSettledResult<unknown> | undefined
        site.on('/slow', async ({ hang }) => {
          ;[outcome] = await Promise.allSettled([site.work.db('names').insert({ name: 'late' })])
          events.emit('done')
          return hang()
        })
        const done = once(events, 'done')
        const visitor = new Visitor(site.url)
        await goAway(visitor, '/slow', once(events, 'waits'))
        await site.noneOpen()
        events.emit('gone')
        await done
        expect(outcome).toEqual({ status: 'rejected', reason: expect.any(UnitEndedError) })
        expect([usedConnections(site.knex), await namesIn(site.knex)]).toEqual([0, []])
      }))
  }
})

async function statusOf(visitor: Visitor, path: string): Promise<number> {
  const response = await visitor.get(path, { redirect: 'manual' })
  await response.arrayBuffer()
  return response.status
}

/** Goes away when the time has come. */
async function goAway(visitor: Visitor, path: string, when: Promise<unknown>): Promise<0> {
  const cookie = [...visitor.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
  const request = get(visitor.url + path, { headers: { cookie } })
  const closed = new Promise((resolve) => request.on('error', ignore).once('close', resolve))
  await when
  request.destroy()
  await closed
  return 0
}

/** Connections that the server keeps for a transaction in which nothing happens. */
async function idleInTransaction(name: DatabaseName, { knex }: SessionSite): Promise<number> {
  if (name === 'postgres') {
    const { rows } = await knex.raw(
      "SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
    )
    return rows[0].n
  }
  if (name !== 'mysql') return usedConnections(knex)
  const [rows] = await knex.raw(
    'SELECT count(*) AS n FROM information_schema.innodb_trx t JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id WHERE p.db = DATABASE() AND p.id <> CONNECTION_ID()'
  )
  return Number(rows[0].n)
}

function ignore(): void {
  // Nobody awaits it: that is what is tried.
}
