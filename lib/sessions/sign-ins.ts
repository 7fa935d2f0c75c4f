import { randomUUID } from 'node:crypto'
import type { MarkData, OwnerMark } from '../dialects/dialect'
import { handleOf, OWN_ROWS, PREFIX_END } from '../record/stored-id'
import { getOrMake } from '../runtime/get-or-make'
import { monotonicNow } from '../runtime/natives'

/** A written session that has got an owner, or another owner than before. */
export interface SignIn extends Partial<Begin> {
  readonly storedId: string
  /** The owner as the column holds it. */
  readonly ownerId: string
  /** When the request got its session, by `monotonicNow`. What the request wrote was decided after that. */
  readonly began: number
  /** False if the session had this owner before, and only its row gets the owner now. See `OwnerChange`. */
  readonly isNew: boolean
}

/** A session that moves to this table from another store, or from its plain id to its hash. */
export interface MovedSession extends Pick<SignIn, 'storedId' | 'ownerId'> {
  /** The age of the session, in milliseconds. Undefined if it is unknown. */
  readonly ageMs?: number
}

/** How a session began, if express-session has generated it. */
export interface Begin {
  /** When the request began, by `monotonicNow`. */
  readonly began: number
  /** When the session was generated, which may be later in the request. */
  readonly generated: number
  readonly request: object
}

/**
 * How often the mark is read, if the first read cannot tell the order. The first read may be slow because it waits for a connection; the
 * second rarely waits.
 */
const MAX_ASKED = 3

const begins = new WeakMap<object, Begin>()
const begunRequests = new WeakMap<object, number>()

/** Returns how the session began if express-session generated it. */
export function beginOf(session: object): Begin | undefined {
  return begins.get(session)
}

/** Remembers that the request gets its session now. */
export function requestBegins(request: object): void {
  begunRequests.set(request, monotonicNow())
}

type Generate = (request: { readonly session?: object }) => void

/**
 * Remembers when express-session generates a session. express-session puts its function `generate` on the store, so a setter can wrap it.
 */
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

/** Returns the id of the mark of an owner. It ends with a colon, so no session can have it: a stored id has more text after a colon. */
export function markIdOf(prefix: string, ownerId: string): string {
  return `${MARK}${handleOf(`${prefix}${PREFIX_END}${ownerId}`)}:`
}

/** Returns whether the log-out everywhere of this mark has kept the session. */
export function isKept({ kept }: MarkData, storedId: string): boolean {
  return kept.length > 0 && kept.includes(handleOf(handleOf(storedId)))
}

/** One log-out everywhere of this process. */
interface LogOut {
  /** When it was called, by `monotonicNow`. */
  readonly at: number
  readonly mark: MarkData
  /** The request that logged out, if it was given as `except`. */
  readonly request: WeakRef<object> | undefined
}

const MARK = `${OWN_ROWS}log-out:`

/** The maximum number of log-outs that are remembered. Older ones are known from the table only. */
const MAX_LOG_OUTS = 1000

const logOutsOfTable = new WeakMap<object, LogOuts>()

/**
 * Remembers when this process has ended all sessions of an owner. This is more exact than the mark in the table, which has milliseconds.
 */
export class LogOuts {
  /** The key is the id of the mark. Log-outs in a transaction are left out, because the transaction may be rolled back. */
  private readonly ended = new Map<string, LogOut>()
  /** The key is the token of the mark. */
  private readonly made = new Map<string, LogOut>()

  /** Returns the log-outs of a table. All stores of the table in this process share them. */
  static of(entry: object): LogOuts {
    return getOrMake(logOutsOfTable, entry, () => new LogOuts())
  }

  /** Makes a log-out with its mark, which the caller then writes to the table. */
  begin(kept: readonly string[], request: object | undefined): LogOut {
    const mark = { kept, token: randomUUID() }
    const logOut = { at: monotonicNow(), mark, request: request && new WeakRef(request) }
    keep(this.made, mark.token, logOut)
    return logOut
  }

  /** Remembers a log-out, once its mark was written. */
  add(markId: string, logOut: LogOut): void {
    keep(this.ended, markId, logOut)
  }

  /**
   * Returns whether the owner has logged out everywhere after the sign-in began. `askMark` reads the mark with its age by the clock of the
   * database. Only durations are compared, so the clocks of processes and of the database may differ.
   *
   * For a log-out of this process the order is exact. For another process, the age of the mark was taken at some moment between the
   * question and the result, so it is uncertain by the time of the statement. If the order is uncertain after every read, the fastest read
   * decides, as if the age was taken in its middle.
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
 * Returns the moment that is compared with the log-out. Usually this is the beginning of the request: the request may have checked a
 * password before the log-out, and have got its new session after it. But if the request itself has logged out everywhere and then signs
 * in, the moment is the generation of its new session.
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
