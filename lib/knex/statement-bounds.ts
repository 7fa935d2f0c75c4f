import { TimeoutError } from '../database-errors'

/** Something that can be ended. */
interface Endable {
  /** Called once, when nothing waits for the statement any more. */
  end(): void
}

/** A caller's part in a statement. */
interface Part {
  /** Called when all callers have given the statement up before anything was sent. */
  neverSent(): void
}

/** How long a statement may wait for a locked row, and for how long it is wanted at all: until the last caller gives it up. */
export class StatementBounds {
  private running: Endable | undefined = undefined
  private givenUp: Part[] | undefined = undefined

  /**
   * @param lockWaitMs milliseconds; undefined for as long as the server has it
   * @param wantedBy how many callers wait for the statement
   */
  constructor(
    readonly lockWaitMs: number | undefined,
    private wantedBy: number
  ) {}

  /** True once something was sent. */
  get hasBegun(): boolean {
    return this.running !== undefined
  }

  /** One caller has given up. */
  leave(part: Part): void {
    this.givenUp ??= []
    this.givenUp.push(part)
    this.wantedBy--
    if (this.wantedBy > 0) return
    if (this.running !== undefined) this.running.end()
    else for (const each of this.givenUp) each.neverSent()
  }

  /** Called before a statement is sent: if nothing waits for it, it is not sent. */
  refuseIfGivenUp(): void {
    if (this.wantedBy === 0) throw new TimeoutError('statement', Number.POSITIVE_INFINITY, 'not-written')
  }

  /** A statement was sent. It is told when nothing waits for it any more. */
  begin(running: Endable): void {
    this.running = running
  }
}
