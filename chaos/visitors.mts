import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, Browser } from '../spec/races/browser.mts'
import type { SiteProcess } from './fleet.mts'
import { type KnownSession, Oracle } from './oracle.mts'

export interface LoadOptions {
  readonly visitors: number
  /** How long a visitor waits for an answer. */
  readonly patienceMs: number
}

/** After a failure a visitor tries again soon, as people do, and as the longest outage is measured by. */
const RETRY_MS = 50
const THINK_MS = 20

/**
 * Visitors over HTTP, each on whichever process comes: a third of the requests change the session, and there are sign-ins, sign-outs, touches,
 * two tabs at once, and sign-outs while a slow request is under way.
 */
export class Visitors {
  readonly oracle = new Oracle()
  requests = 0
  errors = 0
  /** Why, as far as the site says. */
  readonly reasons = new Map<string, number>()
  /** The longest that a visitor went without a page. */
  longestOutageMs = 0
  /** Requests under way. */
  inFlight = 0
  /** When each process served writes, since they are of interest. */
  readonly #writes = new Map<SiteProcess, number[]>()
  #watchedFrom = Number.POSITIVE_INFINITY
  #stopping = false
  #running: Promise<unknown> = Promise.resolve()
  readonly #sites: SiteProcess[]
  readonly #options: LoadOptions

  constructor(sites: readonly SiteProcess[], options: LoadOptions) {
    this.#sites = [...sites]
    this.#options = options
  }

  start(): void {
    const { visitors } = this.#options
    this.#running = Promise.all(
      Array.from({ length: visitors }, (_, number) =>
        new Visitor(this, number % 5 === 0 ? 'two tabs' : 'one tab', `visitor-${number}`).visit()
      )
    )
  }

  /** From now on it is of interest how long visitors wait, and when each process serves writes: all is warm. */
  watch(): void {
    this.#watchedFrom = performance.now()
  }

  firstWriteAfter(site: SiteProcess, moment: number | undefined): number | undefined {
    if (moment === undefined) return undefined
    return this.#writes.get(site)?.find((at) => at >= moment)
  }

  /** Lets each visitor end the page it is on. */
  async stop(): Promise<void> {
    this.#stopping = true
    await this.#running
  }

  get isStopping(): boolean {
    return this.#stopping
  }

  get sites(): readonly SiteProcess[] {
    return this.#sites
  }

  /** Visitors go to these processes from now on. */
  direct(sites: readonly SiteProcess[]): void {
    this.#sites.splice(0, this.#sites.length, ...sites)
  }

  async open(browser: Browser, path: string, query: Record<string, string | number> = {}): Promise<Answer & { by: number }> {
    const by = Math.floor(Math.random() * this.#sites.length)
    const site = this.#sites[by] as SiteProcess
    const url = new URL(path, site.url)
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, String(value))
    this.inFlight++
    const answer = await browser.open(url.href, { timeoutMs: this.#options.patienceMs })
    this.inFlight--
    this.requests++
    if (answer.status === 200 || answer.status === 409) {
      if (performance.now() >= this.#watchedFrom && path !== '/me' && answer.status === 200) this.#noteWrite(site)
    } else {
      this.errors++
      const reason = answer.status === 0 ? String(answer.body) : `${answer.body?.error ?? answer.status} ${answer.body?.cause ?? ''}`
      this.reasons.set(reason.trim(), (this.reasons.get(reason.trim()) ?? 0) + 1)
    }
    return { ...answer, by }
  }

  #noteWrite(site: SiteProcess): void {
    const writes = this.#writes.get(site)
    if (writes) writes.push(performance.now())
    else this.#writes.set(site, [performance.now()])
  }

  /** A visitor had the page that was first asked for at this moment. */
  served(askedAt: number): void {
    if (askedAt >= this.#watchedFrom) this.longestOutageMs = Math.max(this.longestOutageMs, performance.now() - askedAt)
  }
}

class Visitor {
  readonly #load: Visitors
  readonly #kind: 'one tab' | 'two tabs'
  readonly #user: string
  /** When the page was first asked for that the visitor waits for. */
  #askedAt: number | undefined

  constructor(load: Visitors, kind: 'one tab' | 'two tabs', user: string) {
    this.#load = load
    this.#kind = kind
    this.#user = user
  }

  async visit(): Promise<void> {
    // Not all at the same moment.
    await sleep(Math.random() * 500)
    while (!this.#load.isStopping) {
      const session = await this.#signIn()
      if (session === undefined) continue
      const pages = 3 + Math.floor(Math.random() * 20)
      for (let page = 0; page < pages && session.state === 'alive' && !session.isSuspect && !this.#load.isStopping; page++) {
        await this.#page(session)
        await sleep(Math.random() * 2 * THINK_MS)
      }
      if (session.state === 'alive' && !session.isSuspect && Math.random() < 0.7 && !this.#load.isStopping) await this.#signOut(session)
    }
    // What a visitor waits for as the load ends was not served either.
    if (this.#askedAt !== undefined) this.#load.served(this.#askedAt)
  }

  async #signIn(): Promise<KnownSession | undefined> {
    const browser = new Browser()
    const { status, body } = await this.#ask(browser, '/login', { user: this.#user })
    return status === 200 ? this.#load.oracle.signedIn(this.#user, body.sid, browser) : undefined
  }

  async #page(session: KnownSession): Promise<void> {
    if (this.#kind === 'two tabs') {
      await Promise.all([this.#set(session, 'left', {}, true), this.#set(session, 'right', {}, true)])
      return this.#look(session)
    }
    const dice = Math.random()
    if (dice < 0.4) await this.#set(session, 'value')
    else if (dice < 0.8) await this.#look(session)
    else await this.#touch(session)
  }

  async #set(session: KnownSession, key: string, more: Record<string, number> = {}, isShared = false): Promise<void> {
    const value = session.trySet(key, isShared)
    const { status, body, by } = await this.#ask(session.browser.tab(), '/set', { user: session.user, key, value, ...more })
    session.tell(`${key}=${value} ${status} by ${by}`)
    if (status === 0) session.abandon()
    if (status === 200) session.acknowledgeSet(key, value)
    else if (status === 409) session.seen(body)
  }

  async #touch(session: KnownSession): Promise<void> {
    const { status, body, by } = await this.#ask(session.browser.tab(), '/touch', { user: session.user })
    session.tell(`touch ${status} by ${by}`)
    if (status === 200) session.acknowledgeTouch(body.expiresAt)
    else if (status === 409) session.seen(body)
  }

  async #look(session: KnownSession): Promise<void> {
    const least = session.acknowledged()
    const { status, body } = await this.#ask(session.browser.tab(), '/me')
    if (status === 200) session.seen(body, least)
  }

  async #signOut(session: KnownSession): Promise<void> {
    const isRaced = Math.random() < 0.3
    const slow = isRaced ? this.#set(session, 'value', { workMs: 100 }) : undefined
    if (isRaced) await sleep(50)
    session.tryDestroy(isRaced)
    const { status, by } = await this.#ask(session.browser.tab(), '/logout')
    session.tell(`logout ${status} by ${by}`)
    await slow
    if (status === 200) session.acknowledgeDestroy()
    else return
    const { status: looked, body } = await this.#ask(session.browser.tab(), '/me')
    if (looked === 200) session.seenAfterEnd(body)
  }

  async #ask(browser: Browser, path: string, query?: Record<string, string | number>): Promise<Answer & { by: number }> {
    const askedAt = performance.now()
    this.#askedAt ??= askedAt
    const answer = await this.#load.open(browser, path, query)
    if (answer.status === 200 || answer.status === 409) {
      if (this.#askedAt !== undefined) this.#load.served(this.#askedAt)
      this.#askedAt = undefined
    } else await sleep(RETRY_MS)
    return answer
  }
}
