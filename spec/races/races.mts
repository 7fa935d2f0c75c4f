import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, Browser } from './browser.mjs'
import type { Application, Site } from './sites.mjs'

export interface RaceOptions {
  readonly rounds: number
  /** Rounds at the same time, each of another visitor. @default 20 */
  readonly atOnce?: number
  /** @default 'express' */
  readonly application?: Application
}

/** Of so many rounds, in so many it went wrong. */
export interface RaceResult {
  readonly rounds: number
  readonly wrong: number
  /** Requests that were not answered with 200, whatever became of the session. */
  readonly failed: number
}

interface Round {
  wrong: boolean
  failed: number
}

async function race({ rounds, atOnce = 20 }: RaceOptions, round: (number: number) => Promise<Round>): Promise<RaceResult> {
  const result = { rounds, wrong: 0, failed: 0 }
  let next = 0
  const runner = async () => {
    while (next < rounds) {
      const { wrong, failed } = await round(next++)
      if (wrong) result.wrong++
      result.failed += failed
    }
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, rounds) }, runner))
  return result
}

async function login(
  site: Site,
  application: Application,
  query: Record<string, string | number> = {}
): Promise<{ browser: Browser; sid: string }> {
  const browser = new Browser()
  const { status, body } = await browser.open(site.url(application, '/login', { name: 'Ada', ...query }))
  if (status !== 200) throw new Error(`login answered ${status}`)
  return { browser, sid: body.sid }
}

async function isLoggedIn(site: Site, application: Application, browser: Browser): Promise<boolean> {
  const { body } = await browser.tab().open(site.url(application, '/me'))
  return body?.user === 'Ada'
}

/** Resolves when the request stands at the gate. Rejects if it ended before: it would be waited for without end. */
async function arrival(site: Site, gate: string, request: Promise<Answer> | undefined): Promise<void> {
  const ended = request?.then(({ status, body }) => {
    throw new Error(`a request that was to stop at the gate answered ${status}: ${body}`)
  })
  await Promise.race([site.arrived(gate), ended])
  ended?.catch(() => undefined)
}

/** Resolves when the store of the site no longer has the session. */
async function ending(site: Site, sid: string): Promise<void> {
  const began = performance.now()
  while (await site.exists(sid)) {
    if (performance.now() - began > 20_000) throw new Error('a session that was ended is there 20 seconds later')
    await sleep(25)
  }
}

/** Two requests of one visitor at the same moment change different keys of the session. Wrong: a change is lost. */
export async function lostUpdates([first, second = first]: readonly [Site, Site?], options: RaceOptions): Promise<RaceResult> {
  const { application = 'express' } = options
  return race(options, async () => {
    const { browser } = await login(first, application)
    const gate = randomUUID()
    const answers = [
      browser.tab().open(first.url(application, '/change', { key: 'cart', gate: `${gate}-1` })),
      browser.tab().open(second.url(application, '/change', { key: 'language', gate: `${gate}-2` }))
    ]
    // Both have loaded the session before either saves it, which is what "at the same moment" comes to.
    await Promise.all([arrival(first, `${gate}-1`, answers[0]), arrival(second, `${gate}-2`, answers[1])])
    await Promise.all([first.open(`${gate}-1`), second.open(`${gate}-2`)])
    const statuses = (await Promise.all(answers)).map(({ status }) => status)
    const { body } = await browser.open(first.url(application, '/keys'))
    const kept = ['user', 'cart', 'language'].filter((key) => Array.isArray(body) && body.includes(key))
    return { wrong: kept.length < 3, failed: statuses.filter((status) => status !== 200).length }
  })
}

/** What the slow request does to the session it had loaded: change it, or only read it. With `resave` the latter writes it, too. */
export type Reviver = 'change' | 'read'

/** What ends the session: the visitor, its time, or the application by SQL, past its store. */
export type Killer = 'logout' | 'expiry' | ((sid: string) => Promise<void>)

/**
 * A slow request has loaded the session; meanwhile the visitor logs out, or the session expires, or the application ends it by SQL; then the slow request ends.
 * Wrong: the store has the session again, or whoever has the cookie is logged in. A session that expires lives `lifeMs`, before and after it was
 * revived: with a slow store on a busy machine, too short a life is over again before anyone has looked.
 */
export async function resurrections(
  [first, second = first]: readonly [Site, Site?],
  options: RaceOptions & { killer: Killer; reviver: Reviver; lifeMs?: number }
): Promise<RaceResult> {
  const { application = 'express', killer, reviver, lifeMs = 600 } = options
  return race(options, async () => {
    const { browser, sid } = await login(first, application, killer === 'expiry' ? { maxAge: lifeMs } : {})
    // Loaded in the middle of its life: some frameworks count the life from here, and write that at the end.
    if (killer === 'expiry') await sleep(lifeMs / 2)
    const gate = randomUUID()
    const slow = browser.tab().open(second.url(application, `/${reviver}`, { gate }))
    await arrival(second, gate, slow)
    if (typeof killer === 'function') await killer(sid)
    if (killer === 'logout') {
      const { status, body } = await browser.tab().open(first.url(application, '/logout'))
      if (status !== 200) throw new Error(`logout answered ${status}: ${body}`)
    }
    await ending(first, sid)
    await second.open(gate)
    const { status } = await slow
    const isBack = (await first.exists(sid)) || (await isLoggedIn(first, application, browser))
    return { wrong: isBack, failed: status === 200 ? 0 : 1 }
  })
}

/** Logs in and is redirected to a page that must know it: half of the visitors are new, half have a session already. Wrong: the page knows nobody. */
export async function staleReads([first, second = first]: readonly [Site, Site?], options: RaceOptions): Promise<RaceResult> {
  const { application = 'express' } = options
  return race(options, async (number) => {
    const browser = new Browser()
    if (number % 2) await browser.open(first.url(application, '/visit'))
    // Across processes the second one answers the redirect, as behind a load balancer.
    const redirected = await browser.open(first.url(application, '/login-and-redirect', { name: 'Ada' }), {
      redirectTo: second.addresses[application]
    })
    return { wrong: redirected.body?.user !== 'Ada', failed: redirected.status === 200 ? 0 : 1 }
  })
}
