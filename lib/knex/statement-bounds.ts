import { TimeoutError } from '../database-errors'

/** Something that can be ended. */
interface Endable {
  /** Called once, when nobody waits for it any more. */
  end(): void
}

/** How long a statement may wait for a locked row, and for how long it is wanted at all: until the last caller gives it up. */
export class StatementBounds {
  /** True once nobody waits for the statement any more. */
  isGivenUp = false
  /** True once the statement may have been sent. Before, to give it up is to have written nothing. */
  hasBegun = false
  private running: Endable

  /**
   * @param lockWaitMs milliseconds; undefined for as long as the server has it
   * @param wantedBy how many callers wait for the statement
   * @param unsent told when all callers have given up before anything was sent
   */
  constructor(
    readonly lockWaitMs: number | undefined,
    private wantedBy: number,
    unsent: Endable
  ) {
    this.running = unsent
  }

  /** One caller has given up. */
  leave(): void {
    this.wantedBy--
    if (this.wantedBy > 0) return
    this.isGivenUp = true
    this.running.end()
  }

  /** Before anything is sent: for nobody nothing is. */
  refuseIfGivenUp(): void {
    if (this.isGivenUp) throw new TimeoutError('statement', Number.POSITIVE_INFINITY, 'not-written')
  }

  /** Something was sent, and is to be told when nobody waits for it any more. */
  begin(running: Endable): void {
    this.hasBegun = true
    this.running = running
  }
}
