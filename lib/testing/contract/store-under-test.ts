import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import type { SessionData, Store } from 'express-session'
import { until, within } from './waiting'

/** How long one answer may take. Below the five seconds that Jest and others give a spec, so that the message is ours. */
const answerLimitMs = 4_000

/** How long a session may outlive its expiry: stores that count in whole seconds round a life up. */
const expiryLimitMs = 3_500

/** The methods that express-session does without. */
export type OptionalMethod = 'all' | 'clear' | 'length' | 'touch'

/** Thrown by a spec that finds at run time that the store has not got what it is about. Becomes a skip. */
export class NotApplicable {
  constructor(readonly reason: string) {}
}

/** A spec of the contract. */
export type ContractSpec = (subject: StoreUnderTest) => Promise<void>

type Method = OptionalMethod | 'destroy' | 'get' | 'load' | 'set'

/** The store as the specs see it: promises, a time limit on every answer, and session ids that no other spec uses. */
export class StoreUnderTest {
  constructor(readonly store: Store) {}

  /** A session id nobody has used. */
  newId(): string {
    return `contract-${randomUUID()}`
  }

  /** Ends the spec as skipped where the store lacks an optional method. */
  requires(method: OptionalMethod): void {
    if (typeof this.store[method] !== 'function') throw new NotApplicable(`the store has no ${method}()`)
  }

  get(sid: string): Promise<SessionData | null | undefined> {
    return this.#ask('get', sid)
  }

  load(sid: string): Promise<SessionData | undefined> {
    return this.#ask('load', sid)
  }

  set(sid: string, session: SessionData): Promise<void> {
    return this.#ask('set', sid, session)
  }

  touch(sid: string, session: SessionData): Promise<void> {
    return this.#ask('touch', sid, session)
  }

  destroy(sid: string): Promise<void> {
    return this.#ask('destroy', sid)
  }

  clear(): Promise<void> {
    return this.#ask('clear')
  }

  length(): Promise<number> {
    return this.#ask('length')
  }

  /** Every session, whether the store answers with a list or with an object by session id: express-session's types allow both. */
  async all(): Promise<SessionData[]> {
    const sessions = await this.#ask<SessionData[] | Record<string, SessionData>>('all')
    return Object.values(sessions ?? [])
  }

  /** The session, which must be there. */
  async present(sid: string): Promise<SessionData> {
    const session = await this.get(sid)
    assert.ok(session, 'expected get to return the session')
    return session
  }

  /** The session must not be there: null or undefined, and no error. */
  async absent(sid: string, message: string): Promise<void> {
    assert.equal((await this.get(sid)) ?? null, null, message)
  }

  /** Waits until a session that was given a short life is gone. What was given the same life and is still there was kept by something else. */
  untilGone(sid: string): Promise<void> {
    return until(expiryLimitMs, 'expected a session with a short life to be gone', async () => !(await this.get(sid)))
  }

  #ask<T>(method: Method, ...args: unknown[]): Promise<T> {
    const answered = new Promise<T>((resolve, reject) => {
      const call = this.store[method] as (...args: unknown[]) => unknown
      call.call(this.store, ...args, (error: unknown, value: T) => (error ? reject(error) : resolve(value)))
    })
    return within(answerLimitMs, `expected ${method} to answer`, answered)
  }
}
