import type { IncomingMessage, ServerResponse } from 'node:http'
import { emitWithin, runWithin } from './context'
import { holdResponse, type ResponseHolder } from './held-response'
import type { ResolvedWorkOptions } from './options'
import type { Unit } from './unit'
import { AtomicSession, IndependentSession, type WebSession } from './web-session'

/** The function `next` of Express. */
export type Next = (error?: unknown) => void

/** Middleware for Express 4 and 5, and for frameworks that call it in the same way. */
export type Middleware = (req: IncomingMessage, res: ServerResponse, next: Next) => void

/** Error-handling middleware of Express. */
export type ErrorMiddleware = (error: unknown, req: IncomingMessage, res: ServerResponse, next: Next) => void

declare global {
  namespace Express {
    interface Request {
      /** The unit of work of this request, if `work.middleware()` is mounted. */
      work: Unit
    }
  }
}

interface WorkingRequest extends IncomingMessage {
  work?: Unit
}

export function middleware(options: ResolvedWorkOptions, begin: () => Unit): Middleware {
  return (req: WorkingRequest, res, next) => {
    const unit = begin()
    // The middleware is mounted twice. The outer one does everything.
    if (req.work?.owner === unit.owner) {
      next()
      return
    }
    req.work = unit
    let ending: RequestEnd
    try {
      ending = new RequestEnd(options, req, res, unit, next)
    } catch (error) {
      next(error)
      return
    }
    emitWithin(req, unit)
    emitWithin(res, unit)
    holdResponse(res, ending)
    res.once('close', () => ending.abandon())
    // If the client has gone while earlier middleware was waiting, the event `close` was emitted before.
    if (res.destroyed) ending.abandon()
    runWithin(unit, next)
  }
}

export function errorMiddleware(): ErrorMiddleware {
  return (error, req: WorkingRequest, _res, next) => {
    if (req.work === undefined || req.work.isOver) next(error)
    else req.work.rollback().then(() => next(error))
  }
}

/** How the unit of a request ends. */
class RequestEnd implements ResponseHolder {
  hasFailedToCommit = false
  #isAbandoned = false
  readonly #session: WebSession

  constructor(
    private readonly options: ResolvedWorkOptions,
    req: IncomingMessage,
    private readonly res: ServerResponse,
    private readonly unit: Unit,
    private readonly next: Next
  ) {
    this.#session = options.session === 'atomic' ? new AtomicSession(req, unit) : new IndependentSession(req, this)
  }

  settle(isEnd: boolean): Promise<void> | 'later' | undefined {
    const { unit } = this
    if (unit.isOver) return undefined
    if (unit.inProgress.isStreaming && !isEnd) return 'later'
    // The unit is ended even if it has no statement yet. The handler may have called a function without awaiting it, and the function may
    // begin a statement soon.
    return this.#end()
  }

  failed(error: unknown): void {
    this.hasFailedToCommit = true
    this.next(error)
  }

  release<T>(send: () => T): T {
    return this.#session.release(send)
  }

  /** Called when the client has gone away, or when the response has ended without a call of `settle`. */
  abandon(): void {
    this.#isAbandoned = true
    if (!this.unit.isOver) void this.unit.rollback()
  }

  async #end(): Promise<void> {
    const { unit, options, res } = this
    try {
      this.#session.checkOrder()
      if (!options.commitWhen(res)) return unit.rollback()
      // Work that the handlers did not await may still change the session, or fail.
      await unit.settled()
      await this.#session.saveInUnit()
      await unit.commit()
    } catch (error) {
      await unit.rollback()
      // If the client has gone away, nobody receives the error.
      if (!this.#isAbandoned) throw error
    }
  }
}
