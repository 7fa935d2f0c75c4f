import session from 'express-session'
import type { KnexSessionStore } from 'knex-session-store'
import type { MaxAge, Outcome, SessionForm, Step } from './steps.mts'

type Loaded = session.SessionData & Partial<session.Session> & Record<string, unknown>

interface Request {
  readonly sessionId: string
  readonly form: SessionForm
  readonly session: Loaded
}

/** The requests that one process serves, each with its session object: does their steps on a real store. */
export class Requests {
  readonly #requests = new Map<number, Request>()
  readonly #events: string[] = []
  readonly store: KnexSessionStore

  constructor(store: KnexSessionStore) {
    this.store = store
    store.on('conflict', ({ policy, keys }) => this.#events.push(`conflict ${policy} ${[...keys].sort().join()}`.trim()))
    store.on('dropped', () => this.#events.push('dropped'))
    store.on('unreadable', () => this.#events.push('unreadable'))
  }

  has(request: number): boolean {
    return this.#requests.has(request)
  }

  forget(): void {
    this.#requests.clear()
  }

  async perform(step: Step, sessionIds: readonly string[]): Promise<Outcome> {
    const outcome = await this.attempt(step, sessionIds)
    return { ...outcome, events: await this.takeEvents() }
  }

  /** The same for several steps at once, whose events cannot be told apart. */
  async attempt(step: Step, sessionIds: readonly string[]): Promise<Omit<Outcome, 'events'>> {
    try {
      return await this.#perform(step, sessionIds)
    } catch (error) {
      const { code } = error as { code?: string }
      if (code === undefined) throw error
      return { error: code }
    }
  }

  async takeEvents(): Promise<string[]> {
    // They are emitted in a tick of their own.
    await new Promise((resolve) => setImmediate(resolve))
    return this.#events.splice(0)
  }

  async #perform(step: Step, sessionIds: readonly string[]): Promise<Omit<Outcome, 'events'>> {
    switch (step.does) {
      case 'create':
        return this.#create(step.request, sessionIds[step.session] as string, step.maxAgeMs)
      case 'load':
        return this.#load(step.request, sessionIds[step.session] as string, step.as)
      case 'destroy':
        await this.store.destroy(sessionIds[step.session] as string)
        return {}
      case 'log out':
        await this.store.destroyOwner(step.user)
        return {}
      case 'prune':
        await this.store.prune()
        return {}
      case 'pass':
        return {}
      default:
        return this.#continue(step, this.#requests.get(step.request) as Request)
    }
  }

  async #continue(step: Step, request: Request): Promise<Omit<Outcome, 'events'>> {
    const { session, sessionId, form } = request
    switch (step.does) {
      case 'change':
        session[step.key] = step.value
        return {}
      case 'delete':
        delete session[step.key]
        return {}
      case 'set maxAge':
        setMaxAge(request, step.maxAgeMs)
        return {}
      case 'save':
        if (form === 'data') await this.store.set(sessionId, session)
        else await saveLikeExpress(session)
        return {}
      case 'touch':
        if (form === 'request') session.touch?.()
        await this.store.touch(sessionId, session)
        return {}
      default:
        throw new Error(`not a step of a request: ${step.does}`)
    }
  }

  async #create(request: number, sessionId: string, maxAgeMs: MaxAge): Promise<Omit<Outcome, 'events'>> {
    // What express-session's `generate` does.
    const made = this.#express(sessionId) as unknown as { session: Loaded }
    const { Session, Cookie } = session as unknown as { Session: new (request: object) => Loaded; Cookie: new (options: object) => never }
    made.session = new Session(made)
    made.session.cookie = new Cookie({ maxAge: maxAgeMs })
    this.#requests.set(request, { sessionId, form: 'request', session: made.session })
    await saveLikeExpress(made.session)
    return {}
  }

  async #load(request: number, sessionId: string, form: SessionForm): Promise<Omit<Outcome, 'events'>> {
    this.#requests.delete(request)
    const data = (await this.store.get(sessionId)) as Loaded | null
    if (data === null) return { loaded: null }
    const { cookie, ...keys } = data
    const loaded = { ...keys, cookie: cookie.originalMaxAge ?? null }
    const made = form === 'data' ? data : (this.store.createSession(this.#express(sessionId), data) as unknown as Loaded)
    this.#requests.set(request, { sessionId, form, session: made })
    return { loaded }
  }

  /** The parts of a request of Express that express-session's Session looks at. */
  #express(sessionId: string): Parameters<KnexSessionStore['createSession']>[0] {
    return { sessionID: sessionId, sessionStore: this.store } as unknown as Parameters<KnexSessionStore['createSession']>[0]
  }
}

async function saveLikeExpress(session: Loaded): Promise<void> {
  session.touch?.()
  await new Promise<void>((resolve, reject) => {
    session.save?.((error: unknown) => (error ? reject(error) : resolve()))
  })
}

function setMaxAge({ form, session }: Request, maxAgeMs: MaxAge): void {
  if (form === 'request') {
    ;(session.cookie as { maxAge: MaxAge }).maxAge = maxAgeMs
    return
  }
  const expires = maxAgeMs === null ? null : new Date(Date.now() + maxAgeMs).toISOString()
  const { originalMaxAge: _, expires: __, ...others } = session.cookie
  // In the order of express-session's cookies: a change is noticed by the text.
  session.cookie = { originalMaxAge: maxAgeMs, expires, ...others } as unknown as session.Cookie
}
