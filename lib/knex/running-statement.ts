import { Bounded, type Deadlines } from '../calls/deadlines'
import { TimeoutError } from '../database-errors'
import { monotonicNow } from '../runtime/natives'
import type { Connection, KnexClient } from './knex-client'
import { ServerEnding } from './server-ending'
import type { StatementEnding } from './statement-ending'

/**
 * A statement in flight. When its time is over, the server is told to end it. Its connection is not used for anything else until the server
 * has responded. If the server cannot be told, the connection is cut.
 */
export class RunningStatement<T> {
  private ending: ServerEnding | undefined = undefined

  constructor(
    readonly client: KnexClient,
    readonly connection: Connection,
    private readonly how: StatementEnding | undefined,
    readonly work: Promise<T>
  ) {}

  /** Called when nothing waits for the statement any more. */
  end(): void {
    const { how } = this
    if (this.ending === undefined && how?.hasServer(this.connection)) this.ending = new ServerEnding(this, how)
  }

  /** Returns the error of the statement. If the statement was ended on purpose, returns an error that says so. */
  async explain(error: unknown, timeoutMs: number): Promise<unknown> {
    if (this.ending === undefined) return error
    await this.ending.isOver
    return new TimeoutError('statement', timeoutMs, this.ending.isCut || this.how?.isLost(error) ? 'unknown' : 'not-written')
  }

  /** A promise that resolves when the connection may be used again. Undefined if it may be used now. */
  get untilQuiet(): Promise<void> | undefined {
    return this.ending?.isOver
  }
}

/** Bounds the time of a statement that no caller bounds. */
export class StatementTime extends Bounded {
  private isUp = false

  constructor(
    private readonly deadlines: Deadlines,
    private readonly statement: RunningStatement<unknown>
  ) {
    super()
    deadlines.add(this, monotonicNow())
  }

  override expire(): void {
    this.isUp = true
    this.statement.end()
  }

  stop(): void {
    if (!this.isUp) this.deadlines.remove(this)
  }
}
