import { Bounded, Deadlines } from '../calls/deadlines'
import { TimeoutError } from '../database-errors'
import { monotonicNow, startAwaitedTimer } from '../runtime/natives'
import { nothing } from '../runtime/nothing'
import type { Connection, KnexClient } from './knex-client'
import type { EndRequest, StatementEnding } from './statement-ending'

/** How many milliseconds a server has to end a statement. */
const ENDING_MS = 1000
/**
 * A request that reaches the server before its statement has no effect. So the request is sent again after so many milliseconds without a
 * response.
 */
const AGAIN_MS = 100

const endings = new Deadlines(ENDING_MS)
/**
 * The last request of each Knex, after which the next request may begin. Kept by the configuration, which a Knex shares with its
 * transactions.
 */
const lastRequest = new WeakMap<object, Promise<void>>()

/** The statement that the server shall end. */
interface Ended {
  readonly client: KnexClient
  readonly connection: Connection
  readonly work: Promise<unknown>
}

/** Ends a statement on its server within a short time. If that fails, cuts the connection. */
export class ServerEnding extends Bounded {
  /** Resolves when the connection is cut, or when neither the statement nor a request to end it is under way on it. */
  readonly isOver: Promise<void>
  isCut = false
  private isAnswered = false
  private isLate = false
  private request: EndRequest | undefined
  private readonly answered: Promise<void>

  constructor(
    private readonly statement: Ended,
    private readonly how: StatementEnding
  ) {
    super()
    const note = () => {
      this.isAnswered = true
    }
    this.answered = statement.work.then(note, note)
    endings.add(this, monotonicNow())
    this.isOver = this.end().finally(() => {
      if (!this.isLate) endings.remove(this)
    })
  }

  /** Called by the deadlines when the time of the server is over. */
  override expire(): void {
    this.isLate = true
    this.cut()
  }

  private async end(): Promise<void> {
    while (!this.isAnswered && !this.isCut) {
      await this.oneAtATime()
      await this.answerOrPause()
    }
  }

  /** Sends one request after the other. So there is at most one connection more than the pool has. */
  private async oneAtATime(): Promise<void> {
    const { config } = this.statement.client
    const before = lastRequest.get(config)
    const request = this.sendAfter(before)
    lastRequest.set(config, request)
    await request
  }

  private async sendAfter(before: Promise<void> | undefined): Promise<void> {
    await before
    if (this.isAnswered || this.isCut) return
    const { client, connection } = this.statement
    try {
      this.request = this.how.request(client, connection)
      if (this.request === undefined) this.cut()
      else await this.request.done
    } catch {
      this.cut()
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
    const { connection } = this.statement
    // The pool destroys this connection when it would lend it again.
    connection.__knex__disposed ??= new TimeoutError('statement', ENDING_MS)
    // Knex listens for the end of connections of its own pool. Nothing may listen on a connection of a pool that the application brought.
    // Code that waits for the connection gets an error of its own.
    connection.on?.('error', nothing)
    this.how.cut(connection)
  }
}
