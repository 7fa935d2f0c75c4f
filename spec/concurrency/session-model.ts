import type { ConflictPolicy } from '../../lib'
import { type MaxAge, type Outcome, type SessionForm, type Step, TTL_MS } from './steps.mts'

/** Keys by name, among them `cookie`, whose value is the cookie's `originalMaxAge`: to a merge it is a key like any other. */
type Keys = ReadonlyMap<string, unknown>

interface ModelSession {
  keys: Keys
  expiresAt: number
  destroyed: boolean
  revision: number
}

interface ModelRequest {
  readonly session: number
  readonly form: SessionForm
  /** The number of log-outs before it got its session. */
  readonly began: number
  /** What the request knows to be stored: what it loaded, or has saved itself. */
  base: Keys
  readonly own: Map<string, unknown>
  /** When the cookie of an object that `get` gave ends; express-session renews its own before each save. */
  cookieEndsAt: number | null
  knownMaxAge: MaxAge
  knownExpiresAt: number
  knownRevision: number
  knownSaves: number
}

/** What the store is supposed to do, with one session a variable and each save one step. No SQL, no revision conditions, no retries. */
export class SessionModel {
  readonly #sessions = new Map<number, ModelSession>()
  readonly #requests = new Map<number, ModelRequest>()
  /** The owners whose sessions were all ended, in order. */
  #logOuts: readonly unknown[] = []
  constructor(
    readonly conflict: ConflictPolicy,
    public now: number,
    /** How often each situation came about that makes a run worth its time. */
    readonly reached = new Map<string, number>()
  ) {}

  clone(): SessionModel {
    const clone = new SessionModel(this.conflict, this.now)
    for (const [id, session] of this.#sessions) clone.#sessions.set(id, { ...session })
    clone.#logOuts = this.#logOuts
    for (const [id, request] of this.#requests) clone.#requests.set(id, { ...request, own: new Map(request.own) })
    return clone
  }

  /** False for a step of a request that holds no session. */
  isPossible(step: Step): boolean {
    return !('request' in step) || step.does === 'load' || step.does === 'create' || this.#requests.has(step.request)
  }

  /** What a load would give. */
  view(session: number): Record<string, unknown> | null {
    const stored = this.#living(session)
    return stored ? Object.fromEntries(stored.keys) : null
  }

  /** Of all live sessions. */
  expiries(): number[] {
    const living = [...this.#sessions.keys()].map((session) => this.#living(session)).filter((session) => session !== undefined)
    return living.map(({ expiresAt }) => expiresAt).sort((a, b) => a - b)
  }

  perform(step: Step): Outcome {
    switch (step.does) {
      case 'create':
        return this.#create(step.request, step.session, step.maxAgeMs)
      case 'load':
        return this.#load(step.request, step.session, step.as)
      case 'destroy': {
        const session = this.#sessions.get(step.session)
        if (session) session.destroyed = true
        return { events: [] }
      }
      case 'log out':
        this.#logOuts = [...this.#logOuts, step.user]
        for (const session of this.#sessions.values()) if (session.keys.get('user') === step.user) session.destroyed = true
        return { events: [] }
      case 'pass':
        this.now += step.ms
        return { events: [] }
      case 'prune':
        // What is dead stays dead, whether its row is there or not.
        return { events: [] }
      default: {
        const request = this.#requests.get(step.request)
        return request ? this.#continue(step, request) : { events: [] }
      }
    }
  }

  #reach(situation: string): void {
    this.reached.set(situation, (this.reached.get(situation) ?? 0) + 1)
  }

  #continue(step: Step, request: ModelRequest): Outcome {
    switch (step.does) {
      case 'change':
        request.own.set(step.key, step.value)
        return { events: [] }
      case 'delete':
        request.own.delete(step.key)
        return { events: [] }
      case 'set maxAge':
        request.own.set('cookie', step.maxAgeMs)
        request.cookieEndsAt = step.maxAgeMs === null ? null : this.now + step.maxAgeMs
        return { events: [] }
      case 'save':
        return this.#signInBy(request, () => this.#save(request))
      case 'touch':
        return this.#touch(request)
      default:
        throw new Error(`not a step of a request: ${step.does}`)
    }
  }

  #create(request: number, session: number, maxAgeMs: MaxAge): Outcome {
    const keys = new Map<string, unknown>([['cookie', maxAgeMs]])
    const expiresAt = this.now + (maxAgeMs ?? TTL_MS)
    this.#sessions.set(session, { keys, expiresAt, destroyed: false, revision: 1 })
    this.#know(request, session, 'request')
    return { events: [] }
  }

  #load(request: number, session: number, form: SessionForm): Outcome {
    this.#requests.delete(request)
    const loaded = this.view(session)
    if (loaded) this.#know(request, session, form)
    return { loaded, events: [] }
  }

  #know(request: number, session: number, form: SessionForm): void {
    const { keys, expiresAt, revision } = this.#sessions.get(session) as ModelSession
    const maxAge = keys.get('cookie') as MaxAge
    this.#requests.set(request, {
      session,
      form,
      began: this.#logOuts.length,
      base: keys,
      own: new Map(keys),
      cookieEndsAt: maxAge === null ? null : expiresAt,
      knownMaxAge: maxAge,
      knownExpiresAt: expiresAt,
      knownRevision: revision,
      knownSaves: 0
    })
  }

  /** A save that gives the session an owner is undone if all sessions of the owner were ended since the request got its session. */
  #signInBy(request: ModelRequest, save: () => Outcome): Outcome {
    const user = request.own.get('user')
    const isSignIn = user !== undefined && user !== request.base.get('user')
    const outcome = save()
    const session = this.#living(request.session)
    if (!isSignIn || !session || outcome.error !== undefined || !this.#logOuts.slice(request.began).includes(user)) return outcome
    this.#reach('all sessions of the owner were ended since the sign-in began')
    session.destroyed = true
    return { ...outcome, events: [...outcome.events, 'dropped'] }
  }

  #save(request: ModelRequest): Outcome {
    const session = this.#living(request.session)
    const expiresAt = this.#expiryOf(request)
    const isDeliberate = this.#isDeliberate(request, expiresAt)
    const isChanged = text(request.own) !== text(request.base)
    if (!isChanged && !(isDeliberate && expiresAt < request.knownExpiresAt)) return this.#renew(request, expiresAt)
    if (!session) {
      this.#reach('a changed session is dead')
      return { events: ['dropped'] }
    }
    const events: string[] = []
    const isStale = session.revision !== request.knownRevision
    const hasOurExpiry = isDeliberate ? session.expiresAt === expiresAt : session.expiresAt >= expiresAt
    if (session.revision === request.knownRevision + 1 && text(session.keys) === text(request.own) && hasOurExpiry) {
      // The very same was written by another: nobody could tell that it was not this request.
      this.#reach('another wrote the same')
      this.#knowSaved(request, session, expiresAt)
      return { events: [] }
    }
    if (isStale) this.#reach('another wrote meanwhile')
    if (isStale && request.knownSaves > 0) this.#reach('another wrote since this request saved')
    if (session.expiresAt > expiresAt) this.#reach(isDeliberate ? 'a life is shortened' : 'another renewed for longer')
    if (expiresAt <= this.now) this.#reach('the expiry that was loaded has passed')
    if (isStale && this.conflict === 'error') return { events: ['conflict error'], error: 'ERR_SESSION_CONFLICT' }
    if (this.conflict === 'merge') {
      const contested = this.#merge(session, request)
      if (contested.length > 0) events.push(`conflict merge ${contested.sort().join()}`)
    } else {
      if (isStale) events.push('conflict overwrite')
      session.keys = new Map(request.own)
    }
    session.revision++
    session.expiresAt = isDeliberate ? expiresAt : Math.max(session.expiresAt, expiresAt)
    this.#knowSaved(request, session, expiresAt)
    return { events }
  }

  #knowSaved(request: ModelRequest, { revision }: ModelSession, expiresAt: number): void {
    request.base = new Map(request.own)
    request.knownMaxAge = request.own.get('cookie') as MaxAge
    request.knownExpiresAt = expiresAt
    request.knownRevision = revision
    request.knownSaves++
  }

  /** Each key by itself: only what this request changed is written, and nothing is deleted that somebody has changed since. */
  #merge(session: ModelSession, { base, own }: ModelRequest): string[] {
    const keys = new Map(session.keys)
    const contested: string[] = []
    for (const key of new Set([...base.keys(), ...own.keys()])) {
      if (same(own, base, key)) continue
      const changedMeanwhile = !same(session.keys, base, key)
      if (changedMeanwhile && !same(session.keys, own, key)) contested.push(key)
      if (changedMeanwhile) this.#reach(own.has(key) ? 'a key is changed on both sides' : 'a key is deleted here and changed there')
      if (own.has(key)) keys.set(key, own.get(key))
      else if (!changedMeanwhile) keys.delete(key)
    }
    // In the order in which the store writes them.
    const names = [...new Set([...own.keys(), ...keys.keys()])].filter((key) => keys.has(key))
    session.keys = new Map(names.map((key) => [key, keys.get(key)]))
    return contested
  }

  #touch(request: ModelRequest): Outcome {
    if (request.own.get('cookie') !== request.knownMaxAge) return this.#signInBy(request, () => this.#save(request))
    const expiresAt = this.#expiryOf(request)
    return expiresAt < request.knownExpiresAt ? { events: [] } : this.#renew(request, expiresAt)
  }

  #renew(request: ModelRequest, expiresAt: number): Outcome {
    const session = this.#living(request.session)
    if (!session) {
      this.#reach('an unchanged session is dead')
      return { events: ['dropped'] }
    }
    session.expiresAt = Math.max(session.expiresAt, expiresAt)
    request.knownExpiresAt = Math.max(request.knownExpiresAt, expiresAt)
    return { events: [] }
  }

  #expiryOf({ form, own, cookieEndsAt }: ModelRequest): number {
    const maxAge = own.get('cookie') as MaxAge
    if (maxAge === null) return this.now + TTL_MS
    return form === 'request' ? this.now + maxAge : (cookieEndsAt as number)
  }

  /** Set by the application, and so not to be outlived by what another request believes. */
  #isDeliberate({ own, knownMaxAge, knownExpiresAt }: ModelRequest, expiresAt: number): boolean {
    return own.get('cookie') !== knownMaxAge || (expiresAt <= this.now && expiresAt !== knownExpiresAt)
  }

  #living(session: number): ModelSession | undefined {
    const stored = this.#sessions.get(session)
    return stored && !stored.destroyed && stored.expiresAt > this.now ? stored : undefined
  }
}

function same(left: Keys, right: Keys, key: string): boolean {
  return left.has(key) === right.has(key) && JSON.stringify(left.get(key)) === JSON.stringify(right.get(key))
}

/** In the order of the keys: the store compares encoded sessions. */
function text(keys: Keys): string {
  return JSON.stringify([...keys])
}
