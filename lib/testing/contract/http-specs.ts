import assert from 'node:assert/strict'
import { expiryOf } from './sessions'
import { done, type Route, type Visitor, withSite } from './site'
import { type ContractSpec, NotApplicable, type StoreUnderTest } from './store-under-test'
import { pause, until } from './waiting'

/** A small shop: what its visitors do covers every way in which express-session uses a store. */
const routes: Record<string, Route> = {
  '/': ({ session, sessionID }) => ({ id: sessionID, user: session.user ?? null, originalMaxAge: session.cookie.originalMaxAge }),
  '/views': ({ session }) => {
    session.views = Number(session.views ?? 0) + 1
    return session.views
  },
  '/login': async (request) => {
    await done((callback) => request.session.regenerate(callback))
    request.session.user = request.query.get('name')
    return request.sessionID
  },
  '/logout': async ({ session }) => {
    await done((callback) => session.destroy(callback))
  },
  '/leave': (request) => {
    Object.assign(request, { session: null })
  },
  '/save-and-reload': async (request) => {
    const { session } = request
    session.step = 'saved'
    await done((callback) => session.save(callback))
    session.step = 'changed, not saved'
    await done((callback) => session.reload(callback))
    return request.session.step
  },
  '/save-twice': async ({ session }) => {
    session.step = 'first'
    await done((callback) => session.save(callback))
    session.step = 'second'
    await done((callback) => session.save(callback))
    session.step = 'at the end'
  },
  '/step': ({ session }) => session.step ?? null,
  '/reload': ({ session }) => done((callback) => session.reload(callback))
}

function shop(subject: StoreUnderTest, options: Parameters<typeof withSite>[1], visit: Parameters<typeof withSite>[3]): Promise<void> {
  return withSite(subject.store, options, routes, visit)
}

async function body(visitor: Visitor, path: string): Promise<unknown> {
  const page = await visitor.open(path)
  assert.equal(page.status, 200, `${path} answered ${page.status}: ${JSON.stringify(page.body)}`)
  return page.body
}

async function user(visitor: Visitor): Promise<unknown> {
  return ((await body(visitor, '/')) as { user: unknown }).user
}

async function login(visitor: Visitor, name: string): Promise<string> {
  return String(await body(visitor, `/login?name=${name}`))
}

function countsViewsWith(options: Parameters<typeof withSite>[1]): ContractSpec {
  return (subject) =>
    shop(subject, options, async (newVisitor) => {
      const visitor = newVisitor()
      assert.deepEqual([await body(visitor, '/views'), await body(visitor, '/views')], [1, 2])
      await body(visitor, '/')
      await body(visitor, '/')
      assert.equal(await body(visitor, '/views'), 3)
    })
}

/** The store behind the real express-session, over HTTP. */
export const httpSpecs = {
  'over HTTP a visitor keeps the session: resave false, saveUninitialized false': countsViewsWith({}),
  'over HTTP a visitor keeps the session: resave true, saveUninitialized false': countsViewsWith({ resave: true }),
  'over HTTP a visitor keeps the session: resave false, saveUninitialized true': countsViewsWith({ saveUninitialized: true }),
  'over HTTP a visitor keeps the session: resave true, saveUninitialized true': countsViewsWith({ resave: true, saveUninitialized: true }),
  'over HTTP a visitor keeps the session: rolling, with a maxAge': countsViewsWith({ rolling: true, cookie: { maxAge: 60_000 } }),

  'over HTTP login is remembered and logout forgotten': (subject) =>
    shop(subject, {}, async (newVisitor) => {
      const visitor = newVisitor()
      const sid = await login(visitor, 'Ada')
      assert.equal(await user(visitor), 'Ada')
      await body(visitor, '/logout')
      await subject.absent(sid, 'the session is still stored after logout')
      assert.equal(await user(visitor), null)
    }),

  'over HTTP regenerate gives a new session id, and the old one opens nothing': (subject) =>
    shop(subject, {}, async (newVisitor) => {
      const visitor = newVisitor()
      const first = await login(visitor, 'Ada')
      const thief = visitor.tab()
      const second = await login(visitor, 'Ada')
      assert.notEqual(first, second)
      assert.equal(await user(visitor), 'Ada')
      await subject.absent(first, 'the session that was regenerated is still stored')
      assert.equal(await user(thief), null)
    }),

  'over HTTP unsetting req.session with unset: destroy removes the session': (subject) =>
    shop(subject, { unset: 'destroy' }, async (newVisitor) => {
      const visitor = newVisitor()
      const sid = await login(visitor, 'Ada')
      await body(visitor, '/leave')
      await subject.absent(sid, 'the session is still stored')
    }),

  'over HTTP save() stores at once, and reload() brings back what is stored': (subject) =>
    shop(subject, {}, async (newVisitor) => {
      const visitor = newVisitor()
      await login(visitor, 'Ada')
      assert.equal(await body(visitor, '/save-and-reload'), 'saved')
      assert.deepEqual([await body(visitor, '/step'), await user(visitor)], ['saved', 'Ada'])
    }),

  'over HTTP several saves in one request leave the last': (subject) =>
    shop(subject, {}, async (newVisitor) => {
      const visitor = newVisitor()
      await body(visitor, '/save-twice')
      assert.equal(await body(visitor, '/step'), 'at the end')
      await body(visitor, '/save-twice')
      assert.equal(await body(visitor, '/step'), 'at the end')
    }),

  'over HTTP reload() of a session that is gone is an error for the application': (subject) =>
    shop(subject, {}, async (newVisitor) => {
      const page = await newVisitor().open('/reload')
      assert.equal(page.status, 500)
    }),

  'over HTTP a cookie whose session is gone starts a new session': (subject) =>
    shop(subject, {}, async (newVisitor) => {
      const visitor = newVisitor()
      const sid = await login(visitor, 'Ada')
      await subject.destroy(sid)
      assert.equal(await user(visitor), null)
      assert.equal(await body(visitor, '/views'), 1)
      assert.notEqual(((await body(visitor, '/')) as { id: string }).id, sid)
    }),

  'over HTTP saveUninitialized decides whether a visitor who does nothing is stored': async (subject) => {
    for (const saveUninitialized of [false, true]) {
      await shop(subject, { saveUninitialized }, async (newVisitor) => {
        const page = await newVisitor().open('/')
        assert.equal(Boolean(page.setCookie), saveUninitialized)
        assert.equal(Boolean(await subject.get(page.body.id)), saveUninitialized)
      })
    }
  },

  'over HTTP many visitors at once stay apart': (subject) =>
    shop(subject, {}, async (newVisitor) => {
      const names = Array.from({ length: 20 }, (_, number) => `visitor-${number}`)
      const seen = await Promise.all(
        names.map(async (name) => {
          const visitor = newVisitor()
          await login(visitor, name)
          await body(visitor, '/views')
          return [await user(visitor), await body(visitor, '/views')]
        })
      )
      assert.deepEqual(
        seen,
        names.map((name) => [name, 2])
      )
    }),

  'over HTTP many requests at once of one visitor are all answered': (subject) =>
    shop(subject, { cookie: { maxAge: 60_000 } }, async (newVisitor) => {
      const visitor = newVisitor()
      await login(visitor, 'Ada')
      const seen = await Promise.all(Array.from({ length: 20 }, () => user(visitor.tab())))
      assert.deepEqual(seen, Array(20).fill('Ada'))
      assert.equal(await user(visitor), 'Ada')
    }),

  'over HTTP the maxAge of the site is still known on the next request': (subject) =>
    shop(subject, { cookie: { maxAge: 60_000 } }, async (newVisitor) => {
      const visitor = newVisitor()
      await login(visitor, 'Ada')
      await body(visitor, '/')
      const { originalMaxAge } = (await body(visitor, '/')) as { originalMaxAge: number }
      // express-session reads the clock twice when it makes a cookie, and may find some milliseconds gone.
      assert.ok(originalMaxAge > 59_000 && originalMaxAge <= 60_000, `expected a maxAge of a minute, got ${originalMaxAge}`)
    }),

  'over HTTP rolling sends the cookie again and moves the expiry': (subject) =>
    shop(subject, { rolling: true, cookie: { maxAge: 60_000 } }, async (newVisitor) => {
      const visitor = newVisitor()
      const { body: sid, setCookie: first } = await visitor.open('/login?name=Ada')
      const before = expiryOf(await subject.present(sid))
      // Set-Cookie counts in seconds.
      await pause(1_050)
      const { setCookie: second } = await visitor.open('/')
      assert.ok(first && second, 'expected a Set-Cookie on every response')
      assert.ok(expiryOfCookie(second) > expiryOfCookie(first), 'the cookie was sent again with the same expiry')
      assert.ok(Number(expiryOf(await subject.present(sid))) >= Number(before))
    }),

  'over HTTP a visitor who only reads stays, one who went away is forgotten': (subject) =>
    shop(subject, { cookie: { maxAge: 1_200 } }, async (newVisitor) => {
      if (!subject.store.touch) throw new NotApplicable('the store has no touch()')
      const [reader, absentee] = [newVisitor(), newVisitor()]
      const gone = await login(absentee, 'Grace')
      await login(reader, 'Ada')
      // Without a touch the reader's session would end now.
      const renewedAfter = Date.now() + 1_200
      await until(6_000, 'expected the session of the absent visitor to expire', async () => {
        assert.equal(await user(reader), 'Ada')
        return Date.now() > renewedAfter && !(await subject.get(gone))
      })
      assert.equal(await user(reader), 'Ada')
      assert.equal(await user(absentee), null)
    })
} satisfies Record<string, ContractSpec>

function expiryOfCookie(setCookie: string): number {
  return Date.parse(/expires=([^;]+)/i.exec(setCookie)?.[1] ?? '')
}
