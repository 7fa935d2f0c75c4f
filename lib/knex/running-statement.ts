import { TimeoutError } from '../database-errors'
import { Bounded, Deadlines } from '../deadlines'
import { monotonicNow, startAwaitedTimer } from '../natives'
import type { Connection, KnexClient } from './knex-client'

/** A request to a server to end what one of its connections does. */
export interface EndRequest {
  /**
   * Resolves when the request can do nothing any more, so that it cannot hit the next statement of the connection; rejects if it did not
   * reach the server.
   */
  readonly done: Promise<void>
  /** Gives the request up. */
  stop(): void
}

/** How a dialect ends the statement that is under way on a connection. */
export interface StatementEnding {
  /** False where the database is in this process: there is nobody to tell, and to cut the connection may be to lose the database. */
  hasServer(connection: Connection): boolean
  /** Tells the server, on a connection of its own; undefined where it is not certain that the same server would be told. */
  request(client: KnexClient, connection: Connection): EndRequest | undefined
  /** Cuts the connection to the server, so that what waits for its answers fails. */
  cut(connection: Connection): void
  /** True for an error that does not say what became of the statement: the connection was lost. */
  isLost(error: unknown): boolean
}

/** Milliseconds that a server has to end a statement. */
const ENDING_MS = 1000
/** A request that came before its statement did nothing. After so many milliseconds without an answer there is another. */
const AGAIN_MS = 100

const endings = new Deadlines(ENDING_MS)
/** By the configuration that a Knex shares with its transactions: the last request, after which the next one may begin. */
const lastRequest = new WeakMap<object, Promise<void>>()

/**
 * A statement under way. When its time is up, the server is told to end it, and its connection is not used for anything else before the
 * server has answered. A server that cannot be told has its connection cut.
 */
export class RunningStatement<T> extends Bounded {
  private isAnswered = false
  private isCut = false
  private isOverdue = false
  private request: EndRequest | undefined
  private ending: Promise<void> | undefined
  private answered: Promise<void> | undefined

  constructor(
    private readonly client: KnexClient,
    private readonly connection: Connection,
    private readonly how: StatementEnding | undefined,
    private readonly work: Promise<T>
  ) {
    super()
  }

  /** What the statement answers, or a TimeoutError if it was ended; not before the connection may be used again. */
  async outcome(timeoutMs: number): Promise<T> {
    try {
      return await this.work
    } catch (error) {
      if (this.ending === undefined) throw error
      await this.ending
      throw new TimeoutError('statement', timeoutMs, this.isCut || this.how?.isLost(error) ? 'unknown' : 'not-written')
    } finally {
      this.isAnswered = true
      if (this.ending !== undefined) await this.ending
    }
  }

  /** The same, ended when the time of the deadlines is up. */
  async outcomeWithin(deadlines: Deadlines): Promise<T> {
    const time = new StatementTime(this)
    deadlines.add(time, monotonicNow())
    try {
      return await this.outcome(deadlines.timeoutMs)
    } finally {
      if (!time.isUp) deadlines.remove(time)
    }
  }

  /** Called by the deadlines when the server had its time to end it. */
  override expire(): void {
    this.isOverdue = true
    this.cut()
  }

  /** Nobody waits for it any more. */
  end(): void {
    const { how } = this
    if (this.ending !== undefined || this.isAnswered || !how?.hasServer(this.connection)) return
    const noteAnswer = () => {
      this.isAnswered = true
    }
    this.answered = this.work.then(noteAnswer, noteAnswer)
    endings.add(this, monotonicNow())
    this.ending = this.endOnServer(how).finally(() => {
      if (!this.isOverdue) endings.remove(this)
    })
  }

  private async endOnServer(how: StatementEnding): Promise<void> {
    const { client, connection } = this
    const { config } = client
    while (!this.isAnswered && !this.isCut) {
      // One at a time, so that there is one connection more than the pool has, and no more.
      const before = lastRequest.get(config)
      let finished = () => {}
      lastRequest.set(
        config,
        new Promise((resolve) => {
          finished = resolve
        })
      )
      try {
        await before
        if (this.isAnswered || this.isCut) return
        this.request = how.request(client, connection)
        if (this.request === undefined) this.cut()
        else await this.request.done
      } catch {
        this.cut()
      } finally {
        finished()
      }
      await this.answerOrPause()
    }
  }

  private async answerOrPause(): Promise<void> {
    let stop = () => {}
    const pause = new Promise<void>((resolve) => {
      const timer = startAwaitedTimer(resolve, AGAIN_MS)
      stop = () => timer.stop()
    })
    await Promise.race([this.answered, pause])
    stop()
  }

  private cut(): void {
    if (this.isCut) return
    this.isCut = true
    this.request?.stop()
    // The pool destroys it instead of lending it again.
    this.connection.__knex__disposed ??= new TimeoutError('statement', ENDING_MS)
    this.how?.cut(this.connection)
  }
}

/** The time of a statement that has no bounds of its own. */
class StatementTime extends Bounded {
  isUp = false

  constructor(private readonly statement: RunningStatement<unknown>) {
    super()
  }

  override expire(): void {
    this.isUp = true
    this.statement.end()
  }
}
