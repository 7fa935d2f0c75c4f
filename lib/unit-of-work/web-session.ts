import type { IncomingMessage } from 'node:http'
import type { SessionData, Store } from 'express-session'
import { SessionOrderError } from './errors'
import { storeInUnit } from './store-in-unit'
import type { Unit } from './unit'

/** The properties that express-session puts on a request. */
interface SessionRequest extends IncomingMessage {
  session?: (SessionData & { id?: string; touch?(): void; save?: Save }) | null
  sessionID?: string | undefined
  sessionStore?: Store
}

type Save = (callback?: (error?: unknown) => void) => unknown

/** The session of a request and the unit of work of the same request. */
export interface WebSession {
  /** @throws {SessionOrderError} if the session was made by middleware that is mounted later. */
  checkOrder(): void
  /** Called before the commit. Saves in the transaction what express-session would save when the response leaves. */
  saveInUnit(): Promise<void>
  /** Calls `send`, by which express-session ends the response. Makes express-session save the session only if that is still to be done. */
  release<T>(send: () => T): T
}

/** `session: 'independent'`: express-session saves as always, except after a failed commit. */
export class IndependentSession implements WebSession {
  readonly #hadStore: boolean

  constructor(
    private readonly req: SessionRequest,
    private readonly unit: { readonly hasFailedToCommit: boolean }
  ) {
    this.#hadStore = req.sessionStore !== undefined
  }

  checkOrder(): void {
    refuseLateSession(this.req, this.#hadStore)
  }

  async saveInUnit(): Promise<void> {
    // express-session saves the session when the response leaves.
  }

  release<T>(send: () => T): T {
    return this.unit.hasFailedToCommit ? withoutSession(this.req, send) : send()
  }
}

/** `session: 'atomic'`: the session is written by the unit, or not at all. */
export class AtomicSession implements WebSession {
  readonly #hadStore: boolean
  readonly #wasEmpty: boolean
  #isSaved = false

  /** @throws {AtomicSessionError} for a store that cannot be in a transaction. */
  constructor(
    private readonly req: SessionRequest,
    private readonly unit: Unit
  ) {
    this.#hadStore = req.sessionStore !== undefined
    this.#wasEmpty = isEmpty(req)
    // Handlers that save, regenerate or destroy the session use this store.
    if (req.sessionStore) req.sessionStore = storeInUnit(req.sessionStore, () => unit, unit.stores)
  }

  checkOrder(): void {
    refuseLateSession(this.req, this.#hadStore)
  }

  async saveInUnit(): Promise<void> {
    const { session, sessionStore } = this.req
    // A session that was empty and still is holds nothing to lose. express-session decides whether it is saved at all.
    if (!session || !sessionStore || !this.unit.hasBegun || (this.#wasEmpty && isEmpty(this.req))) return
    session.touch?.()
    await new Promise<void>((resolve, reject) => {
      session.save?.((error?: unknown) => (error ? reject(error) : resolve()))
    })
    this.#isSaved = true
  }

  release<T>(send: () => T): T {
    if (this.unit.state === 'rolled back') return withoutSession(this.req, send)
    const { session } = this.req
    if (!this.#isSaved || !session) return send()
    const own = Object.getOwnPropertyDescriptor(session, 'save')
    const save: Save = (callback) => callback?.()
    Object.defineProperty(session, 'save', { value: save, configurable: true, enumerable: false, writable: true })
    try {
      return send()
    } finally {
      if (own) Object.defineProperty(session, 'save', own)
      else Reflect.deleteProperty(session, 'save')
    }
  }
}

/** Calls `send` without a session id on the request. Then express-session does not save, touch or destroy, and sets no cookie. */
function withoutSession<T>(req: SessionRequest, send: () => T): T {
  const { sessionID } = req
  req.sessionID = undefined
  try {
    return send()
  } finally {
    req.sessionID = sessionID
  }
}

function isEmpty({ session }: SessionRequest): boolean {
  return !session || Object.keys(session).every((key) => key === 'cookie')
}

function refuseLateSession({ sessionStore }: SessionRequest, hadStore: boolean): void {
  if (sessionStore && !hadStore) {
    throw new SessionOrderError(
      'work.middleware() is mounted before session(), so it saw no session when the request came; mount it after session()'
    )
  }
}
