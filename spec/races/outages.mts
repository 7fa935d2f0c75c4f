import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Backend } from './backends.mjs'
import { type Answer, Browser } from './browser.mjs'
import type { Line } from './line.mjs'
import { Site } from './sites.mjs'
import type { Contender } from './stores.mjs'

/** What a process went through when its database was ill. */
export interface OutageResult {
  /** Whether it was ended by an error that nothing caught. */
  readonly died: boolean
  readonly requests: number
  /** Of the requests, those that were not answered with 200. */
  readonly failed: number
  /** The longest that a request waited for its answer; the limit, if there was none. */
  readonly slowestMs: number
  /** Whether visitors can log in again once the database is well, with no restart of the process. */
  readonly recovered: boolean
}

/** How long a visitor waits before it counts as for ever. */
export const patienceMs = 15_000

async function outage(site: Site, answers: readonly Promise<Answer>[], heal: () => Promise<void>): Promise<OutageResult> {
  const all = await Promise.all(answers)
  await heal()
  const recovered = await recovers(site)
  return {
    died: site.died,
    requests: all.length,
    failed: all.filter(({ status }) => status !== 200).length,
    slowestMs: Math.max(...all.map(({ tookMs }) => tookMs)),
    recovered
  }
}

async function recovers(site: Site): Promise<boolean> {
  // A pool may need a moment to notice that its connections are broken.
  for (let attempt = 0; attempt < 10 && !site.died; attempt++) {
    const browser = new Browser()
    const timeoutMs = 3_000
    const { status } = await browser.open(site.url('express', '/login', { name: 'Ada' }), { timeoutMs })
    const { body } = await browser.open(site.url('express', '/me'), { timeoutMs })
    if (status === 200 && body?.user === 'Ada') return true
    await sleep(200)
  }
  return false
}

async function visitor(site: Site): Promise<Browser> {
  const browser = new Browser()
  await browser.open(site.url('express', '/login', { name: 'Ada' }))
  return browser
}

function readsOf(site: Site, browser: Browser, count: number): Promise<Answer>[] {
  return Array.from({ length: count }, () => browser.tab().open(site.url('express', '/me'), { timeoutMs: patienceMs }))
}

/** Someone drops the sessions table while the site runs. */
export async function tableDropped(site: Site, dropTables: NonNullable<Backend['dropTables']>): Promise<OutageResult> {
  const browser = await visitor(site)
  await dropTables()
  const logins = Array.from({ length: 10 }, () =>
    new Browser().open(site.url('express', '/login', { name: 'Ada' }), { timeoutMs: patienceMs })
  )
  return outage(site, [...readsOf(site, browser, 10), ...logins], async () => undefined)
}

/** The server ends all connections, idle ones and such with a statement under way. */
export async function connectionsKilled(site: Site, killConnections: NonNullable<Backend['killConnections']>): Promise<OutageResult> {
  const browser = await visitor(site)
  const answers: Promise<Answer>[] = []
  for (let time = 0; time < 5; time++) {
    answers.push(...readsOf(site, browser, 10))
    await killConnections()
    await sleep(20)
  }
  return outage(site, answers, async () => undefined)
}

/** The server is down for a while: it takes no connections. */
export async function serverDown(site: Site, line: Line): Promise<OutageResult> {
  const browser = await visitor(site)
  await line.refuse()
  return outage(site, readsOf(site, browser, 10), async () => {
    await line.open()
  })
}

/** The server stands still: it takes what is sent, and answers nothing. */
export async function serverFrozen(site: Site, line: Line): Promise<OutageResult> {
  const browser = await visitor(site)
  line.freeze()
  return outage(site, readsOf(site, browser, 5), async () => line.thaw())
}

/** The server stands still while a page is being made: its session is loaded, and the touch at the end has no answer. */
export async function touchHangs(site: Site, line: Line): Promise<OutageResult> {
  // A session whose life is short enough, and half gone, lest a store spare itself the touch.
  const browser = new Browser()
  await browser.open(site.url('express', '/login', { name: 'Ada', maxAge: 60_000 }))
  await sleep(50)
  const gate = randomUUID()
  const answer = browser.open(site.url('express', '/read', { gate }), { timeoutMs: patienceMs })
  await site.arrived(gate)
  line.freeze()
  await site.open(gate)
  return outage(site, [answer], async () => line.thaw())
}

/** Several processes make their store at the same moment on an empty database, and each lets a visitor in at once. Failed: those that die, or cannot. */
export async function startTogether(
  contender: Contender,
  processes: number
): Promise<{ processes: number; failed: number; lastWords: string }> {
  const booted = await Promise.all(Array.from({ length: processes }, () => Site.boot()))
  const starts = await Promise.allSettled(booted.map((serve) => serve(contender)))
  const sites = starts.filter((start) => start.status === 'fulfilled').map(({ value }) => value)
  try {
    const logins = await Promise.all(sites.map((site) => new Browser().open(site.url('express', '/login', { name: 'Ada' }))))
    // One that dies of it does so a little later than it answers.
    await sleep(100)
    const failed = sites.filter((site, number) => site.died || logins[number]?.status !== 200)
    return { processes, failed: failed.length + processes - sites.length, lastWords: failed[0]?.lastWords ?? '' }
  } finally {
    await Promise.all(sites.map((site) => site[Symbol.asyncDispose]()))
  }
}

/** What a logged-in visitor's page costs the database, one page after the other, and many at once. */
export async function statementsPerPage(
  site: Site,
  counter: NonNullable<Backend['counter']>,
  { pages, atOnce }: { pages: number; atOnce: number }
): Promise<{ statements: number; writes: number }> {
  const browsers = await Promise.all(Array.from({ length: atOnce }, () => visitor(site)))
  counter.reset()
  for (let page = 0; page < pages; page += atOnce) {
    await Promise.all(browsers.map((browser) => browser.open(site.url('express', '/me'))))
  }
  const { statements, writes } = counter.counts
  const perPage = (count: number) => Math.round((count / pages) * 100) / 100
  return { statements: perPage(statements), writes: perPage(writes) }
}
