import { setTimeout as sleep } from 'node:timers/promises'
import type { Browser } from '../spec/races/browser.mts'
import type { SiteProcess } from './fleet.mts'
import type { StoredSession } from './site.process.mts'

/** What was acknowledged and is not there, by class. */
export interface Losses {
  sets: number
  touches: number
  destroys: number
  /** Ended sessions that a slower request has brought back. */
  risen: number
  /** Of two acknowledged changes at once, one that is not there. */
  lostUpdates: number
  /** Reads that were older than what had been acknowledged, where nothing was lost in the end. */
  staleReads: number
  /** The first few, to begin with in the search for why. */
  readonly examples: string[]
}

interface Key {
  tried: number
  acknowledged: number
  readonly isShared: boolean
}

/** What has to be true of a session: kept outside of the processes, by what they acknowledged. */
export class KnownSession {
  readonly user: string
  readonly sid: string
  readonly browser: Browser
  state: 'alive' | 'ending' | 'ended' = 'alive'
  /** Something was read that should not have been. The session is left as it is, for the audit to judge. */
  isSuspect = false
  isRaced = false
  expiresAt = 0
  readonly keys = new Map<string, Key>()
  readonly #story: string[] = []

  constructor(user: string, sid: string, browser: Browser) {
    this.user = user
    this.sid = sid
    this.browser = browser
  }

  trySet(name: string, isShared: boolean): number {
    const key = this.keys.get(name) ?? { tried: 0, acknowledged: 0, isShared }
    this.keys.set(name, key)
    return ++key.tried
  }

  acknowledgeSet(name: string, value: number): void {
    const key = this.keys.get(name)
    if (key) key.acknowledged = Math.max(key.acknowledged, value)
  }

  /** A request without an answer may still be under way, and write later: nothing more is known of the session. */
  abandon(): void {
    this.state = 'ending'
  }

  acknowledgeTouch(expiresAt: number): void {
    this.expiresAt = Math.max(this.expiresAt, expiresAt)
  }

  tryDestroy(isRaced: boolean): void {
    this.state = 'ending'
    this.isRaced = isRaced
  }

  acknowledgeDestroy(): void {
    this.state = 'ended'
  }

  acknowledged(): Map<string, number> {
    return new Map([...this.keys].map(([name, { acknowledged }]) => [name, acknowledged]))
  }

  /** What became of it, the latest last; times in milliseconds since the runner began. */
  story(): string {
    return this.#story.slice(-12).join(', ')
  }

  tell(what: string): void {
    this.#story.push(`${Math.round(performance.now())} ${what}`)
    if (this.#story.length > 24) this.#story.splice(0, 12)
  }

  seen(found: StoredSession, least = new Map<string, number>()): void {
    if (this.state !== 'alive') return
    if (found.user !== this.user || [...least].some(([name, value]) => (found.values[name] ?? 0) < value)) {
      this.isSuspect = true
      this.tell(`read ${JSON.stringify(found)}`)
    }
  }

  seenAfterEnd(found: StoredSession): void {
    if (found.user !== undefined) this.isSuspect = true
  }
}

/** Keeps what was acknowledged, and says in the end what of it is not there. */
export class Oracle {
  readonly #sessions: KnownSession[] = []

  get sessions(): readonly KnownSession[] {
    return this.#sessions
  }

  signedIn(user: string, sid: string, browser: Browser): KnownSession {
    const session = new KnownSession(user, sid, browser)
    this.#sessions.push(session)
    return session
  }

  /**
   * Reads every session that is known to be alive or to have ended, each by one of the processes in turn. What is not as it should be is read
   * again a while later, by all of them: a node that lags behind has lost nothing.
   */
  async audit(sites: readonly SiteProcess[], canTellTouches: boolean): Promise<Losses> {
    const losses: Losses = { sets: 0, touches: 0, destroys: 0, risen: 0, lostUpdates: 0, staleReads: 0, examples: [] }
    const doubtful: KnownSession[] = []
    const known = this.#sessions.filter(({ state }) => state !== 'ending')
    for (let lot = 0; lot * LOT < known.length; lot++) {
      const sessions = known.slice(lot * LOT, (lot + 1) * LOT)
      const found = await read(sites[lot % sites.length] as SiteProcess, sessions)
      doubtful.push(...sessions.filter((session, index) => session.isSuspect || !isKept(session, found[index] ?? null, canTellTouches)))
    }
    if (doubtful.length === 0) return losses
    await sleep(LAG_MS)
    const byAll = await Promise.all(sites.map((site) => read(site, doubtful)))
    for (const [index, session] of doubtful.entries()) {
      const found = byAll.map((sessions) => sessions[index] ?? null)
      const wrong = found.find((one) => !isKept(session, one, canTellTouches))
      if (wrong === undefined) losses.staleReads++
      else judge(session, wrong, losses)
    }
    return losses
  }
}

function read(site: SiteProcess, sessions: readonly KnownSession[]): Promise<(StoredSession | null)[]> {
  return site.order(
    'read',
    sessions.map(({ sid }) => sid)
  )
}

const LOT = 100
const MAX_EXAMPLES = 5
/** How far a node of a cluster may lag behind when all is well again. */
const LAG_MS = 3_000

function isThere(session: KnownSession, found: StoredSession | null): found is StoredSession {
  return found !== null && found.user === session.user
}

function missing(session: KnownSession, found: StoredSession): Key[] {
  return [...session.keys].filter(([name, key]) => (found.values[name] ?? 0) < key.acknowledged).map(([, key]) => key)
}

function isKept(session: KnownSession, found: StoredSession | null, canTellTouches: boolean): boolean {
  if (session.state === 'ended') return !isThere(session, found)
  if (!isThere(session, found) || missing(session, found).length > 0) return false
  return !canTellTouches || found.expiresAt >= session.expiresAt
}

/** What it is that is not as it should be. */
function judge(session: KnownSession, found: StoredSession | null, losses: Losses): void {
  let what: 'sets' | 'touches' | 'destroys' | 'risen' | 'lostUpdates'
  let count = 1
  if (session.state === 'ended') what = session.isRaced ? 'risen' : 'destroys'
  else if (!isThere(session, found)) what = 'sets'
  else {
    const keys = missing(session, found)
    what = keys.length === 0 ? 'touches' : keys.some(({ isShared }) => isShared) ? 'lostUpdates' : 'sets'
    count = Math.max(1, keys.length)
  }
  losses[what] += count
  if (losses.examples.length >= MAX_EXAMPLES) return
  losses.examples.push(`${what}: ${session.user}, ${session.story()}; expires ${session.expiresAt}; found ${JSON.stringify(found)}`)
}
