import { TimeoutError } from '../database-errors'

/** A statement that can be ended. */
interface Endable {
  /** Called once, when nothing waits for the statement any more. */
  end(): void
}

/** The part of one caller in a statement. */
interface Part {
  /** Called if all callers give the statement up before anything was sent. */
  neverSent(): void
}

/** How long a statement may wait for a locked row, and whether callers still want it. When the last caller gives it up, it ends. */
export class StatementBounds {
  private running: Endable | undefined = undefined
  private givenUp: Part[] | undefined = undefined

  /**
   * @param lockWaitMs milliseconds; undefined if the server decides
   * @param wantedBy how many callers wait for the statement
   */
  constructor(
    readonly lockWaitMs: number | undefined,
    private wantedBy: number
  ) {}

  /** True once a statement was sent. */
  get hasBegun(): boolean {
    return this.running !== undefined
  }

  /** Called when one caller has given up. */
  leave(part: Part): void {
    this.givenUp ??= []
    this.givenUp.push(part)
    this.wantedBy--
    if (this.wantedBy > 0) return
    if (this.running !== undefined) this.running.end()
    else for (const each of this.givenUp) each.neverSent()
  }

  /** Called before a statement is sent. Throws if nothing waits for the statement, so it is not sent. */
  refuseIfGivenUp(): void {
    if (this.wantedBy === 0) throw new TimeoutError('statement', Number.POSITIVE_INFINITY, 'not-written')
  }

  /** Called when a statement was sent. The statement is told when nothing waits for it any more. */
  begin(running: Endable): void {
    this.running = running
  }
}
