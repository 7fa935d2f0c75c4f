import { randomUUID } from 'node:crypto'
import type { MarkData, OwnerMark } from '../dialects/dialect'
import { handleOf, OWN_ROWS, PREFIX_END } from '../record/stored-id'
import { getOrMake } from '../runtime/get-or-make'
import { monotonicNow } from '../runtime/natives'

/** A session that has got an owner, or another owner, and was written. */
export interface SignIn extends Partial<Begin> {
  readonly storedId: string
  /** The value of the column. */
  readonly ownerId: string
  /** When the request got its session, by `monotonicNow`: before it knew what it then wrote. */
  readonly began: number
  /** False for a session of this owner from before the option `owner`. */
  readonly isNew: boolean
}

/** A session that moves here from another id or store. */
export interface MovedSession extends Pick<SignIn, 'storedId' | 'ownerId'> {
  /** How long ago it began, in milliseconds. @default unknown */
  readonly ageMs?: number
}

/** How a session began that express-session has generated. */
export interface Begin {
  /** When its request began, by `monotonicNow`. */
  readonly began: number
  /** When the session was generated, which may be later. */
  readonly generated: number
  readonly request: object
}

/** A statement may wait for a connection. Asked again, it rarely does. */
const MAX_ASKED = 3

const begins = new WeakMap<object, Begin>()
const begunRequests = new WeakMap<object, number>()

/** Returns how the session began if express-session generated it. */
export function beginOf(session: object): Begin | undefined {
  return begins.get(session)
}

/** Notes that the request gets its session now. */
export function requestBegins(request: object): void {
  begunRequests.set(request, monotonicNow())
}

type Generate = (request: { readonly session?: object }) => void

/** Notes when express-session generates a session. It does so by its function `generate`, which it puts on the store. */
export function watchGenerate(store: object): void {
  let generate: Generate | undefined
  Object.defineProperty(store, 'generate', {
    configurable: true,
    enumerable: true,
    get: () => generate,
    set: (given: Generate) => {
      generate = (request) => {
        given.call(store, request)
        if (request.session === undefined) return
        if (!begunRequests.has(request)) requestBegins(request)
        const began = begunRequests.get(request) as number
        begins.set(request.session, { began, generated: monotonicNow(), request })
      }
    }
  })
}

/** Returns the id of the mark of an owner. No session can have it: it ends with a colon, after which a stored id goes on. */
export function markIdOf(prefix: string, ownerId: string): string {
  return `${MARK}${handleOf(`${prefix}${PREFIX_END}${ownerId}`)}:`
}

/** Returns whether a log-out everywhere has kept the session. */
export function isKept({ kept }: MarkData, storedId: string): boolean {
  return kept.length > 0 && kept.includes(handleOf(handleOf(storedId)))
}

/** That all sessions of an owner were ended by this process. */
interface LogOut {
  /** By `monotonicNow`. */
  readonly at: number
  readonly mark: MarkData
  /** The request that asked for it, if it said so. */
  readonly request: WeakRef<object> | undefined
}

const MARK = `${OWN_ROWS}log-out:`

/** The log-outs that are remembered. More are in the table alone. */
const MAX_LOG_OUTS = 1000

const logOutsOfTable = new WeakMap<object, LogOuts>()

/** When this process has ended all sessions of an owner: more exact than the mark in the table, which has whole milliseconds. */
export class LogOuts {
  /** By the id of the mark. Those of a transaction are not among them, because it may be rolled back. */
  private readonly ended = new Map<string, LogOut>()
  /** By the token of the mark. */
  private readonly made = new Map<string, LogOut>()

  /** Those of a table, shared by the stores of this process. */
  static of(entry: object): LogOuts {
    return getOrMake(logOutsOfTable, entry, () => new LogOuts())
  }

  /** Makes the mark of a log-out that is to be written. */
  begin(kept: readonly string[], request: object | undefined): LogOut {
    const mark = { kept, token: randomUUID() }
    const logOut = { at: monotonicNow(), mark, request: request && new WeakRef(request) }
    keep(this.made, mark.token, logOut)
    return logOut
  }

  /** Remembers a log-out whose mark was written. */
  add(markId: string, logOut: LogOut): void {
    keep(this.ended, markId, logOut)
  }

  /**
   * Returns whether all sessions of the owner were ended after the sign-in began. `askMark` reads when they were ended last, by the clock of
   * the database. Only durations are compared, so no clock has to agree with another one.
   *
   * Within this process the order is exact. Between processes the time that the database takes for the result is the uncertainty. If this
   * covers the moment in question each time, the shortest of these times counts, and its middle is taken for the moment of the result.
   */
  async include(signIn: SignIn, markId: string, askMark: () => Promise<OwnerMark | undefined>): Promise<boolean> {
    const here = this.ended.get(markId)
    if (here !== undefined && beganFor(signIn, here) < here.at) return !isKept(here.mark, signIn.storedId)
    let best = { tookMs: Number.POSITIVE_INFINITY, isOlder: false }
    for (let tries = 0; tries < MAX_ASKED; tries++) {
      const asked = monotonicNow()
      const found = await askMark()
      if (found === undefined || isKept(found, signIn.storedId)) return false
      const made = this.made.get(found.token)
      if (made !== undefined) return beganFor(signIn, made) < made.at
      const tookMs = monotonicNow() - asked
      const sinceMs = asked - signIn.began
      if (found.agoMs < Math.floor(sinceMs)) return true
      if (found.agoMs > sinceMs + tookMs) return false
      if (tookMs < best.tookMs) best = { tookMs, isOlder: found.agoMs < sinceMs + tookMs / 2 }
    }
    return best.isOlder
  }
}

/**
 * Returns when the sign-in began, as far as this log-out is concerned. A request may check a password, and then get a new session: what counts
 * is when the request began. But a request that has logged out everywhere itself signs in with what it got after that.
 */
function beganFor({ began, generated = began, request }: SignIn, logOut: LogOut): number {
  const mayBeOwn = logOut.request === undefined || logOut.request.deref() === request
  return mayBeOwn ? generated : began
}

function keep(logOuts: Map<string, LogOut>, key: string, logOut: LogOut): void {
  logOuts.delete(key)
  logOuts.set(key, logOut)
  if (logOuts.size > MAX_LOG_OUTS) logOuts.delete(logOuts.keys().next().value as string)
}
