import type { IncomingMessage } from 'node:http'
import type { SessionData, Store } from 'express-session'
import { SessionOrderError } from './errors'
import { storeInUnit } from './store-in-unit'
import type { Unit } from './unit'

/** What express-session puts on a request. */
interface SessionRequest extends IncomingMessage {
  session?: (SessionData & { id?: string; touch?(): void; save?: Save }) | null
  sessionID?: string | undefined
  sessionStore?: Store
}

type Save = (callback?: (error?: unknown) => void) => unknown

/** The session of a request and the unit of work of the same request. */
export interface WebSession {
  /** @throws {SessionOrderError} where the session was made by something mounted later. */
  checkOrder(): void
  /** Before the commit: saves in the transaction what express-session would save after the response's first bytes. */
  saveInUnit(): Promise<void>
  /** Calls the function by which express-session ends the response, so that it saves what it should and nothing else. */
  release<T>(send: () => T): T
}

/** `session: 'independent'`: express-session does as always, but for a commit that failed. */
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
    // express-session saves it, once the response leaves.
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
    // Saving, regenerating and destroying by the handlers themselves goes through here.
    if (req.sessionStore) req.sessionStore = storeInUnit(req.sessionStore, () => unit, unit.stores)
  }

  checkOrder(): void {
    refuseLateSession(this.req, this.#hadStore)
  }

  async saveInUnit(): Promise<void> {
    const { session, sessionStore } = this.req
    // One that was empty and is: whether it is saved at all is for express-session to say, and it holds nothing to lose.
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

/** Without an id express-session saves nothing, touches nothing, destroys nothing, and sets no cookie. It decides while `send` runs. */
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
