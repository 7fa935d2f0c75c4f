import { Bounded, Deadlines } from '../calls/deadlines'
import { TimeoutError } from '../database-errors'
import { monotonicNow, startAwaitedTimer } from '../runtime/natives'
import { nothing } from '../runtime/nothing'
import type { Connection, KnexClient } from './knex-client'
import type { EndRequest, StatementEnding } from './statement-ending'

/** Milliseconds that a server has to end a statement. */
const ENDING_MS = 1000
/**
 * A request that reaches the server before its statement does nothing. After so many milliseconds without a response, the request is sent
 * again.
 */
const AGAIN_MS = 100

const endings = new Deadlines(ENDING_MS)
/** By the configuration that a Knex shares with its transactions: the last request, after which the next one may begin. */
const lastRequest = new WeakMap<object, Promise<void>>()

/** The statement that is to be ended. */
interface Ended {
  readonly client: KnexClient
  readonly connection: Connection
  readonly work: Promise<unknown>
}

/** The ending of a statement on its server, within a short time; else the connection is cut. */
export class ServerEnding extends Bounded {
  /** Resolved when the connection is free of both the statement and the requests to end it, or cut. */
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

  /** Called by the deadlines when the server had its time. */
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

  /** So that there is one connection more than the pool has, and no more. */
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
    // The pool destroys it instead of lending it again.
    connection.__knex__disposed ??= new TimeoutError('statement', ENDING_MS)
    // Knex listens for the end of connections of its own pool. Nothing may listen on a connection of a pool that the application brought.
    // Code that waits for the connection gets an error of its own.
    connection.on?.('error', nothing)
    this.how.cut(connection)
  }
}
