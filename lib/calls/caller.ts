import type { TimeoutOutcome } from '../database-errors'
import { Bounded, Deadlines } from './deadlines'

/** Work for a caller, which ends with the caller's patience. */
export interface Undertaking {
  /** True once it has its outcome. */
  readonly isOver: boolean
  /** The work that the same caller began before, if it is not over. */
  before: Undertaking | undefined
  /** Called once, when the caller's time is up. */
  giveUp(): void
}

/** Something that waits for a result. At the moment `due`, it gives up the work that is done for it. */
export abstract class Caller extends Bounded {
  hasGivenUp = false
  /** The outcome that a TimeoutError would have now. */
  outcome: TimeoutOutcome = 'not-written'
  /** True once a statement for it was on its way: then it did not only wait for a connection or a lock of the file. */
  wasSent = false
  private last: Undertaking | undefined = undefined

  /** Tells the undertaking when the caller gives up. */
  begin(undertaking: Undertaking): void {
    let before = this.last
    while (before?.isOver) before = before.before
    undertaking.before = before
    this.last = undertaking
  }

  protected giveUp(): void {
    this.hasGivenUp = true
    for (let undertaking = this.last; undertaking !== undefined; undertaking = undertaking.before) {
      if (!undertaking.isOver) undertaking.giveUp()
    }
    this.last = undefined
  }
}

/** The part of a caller's time that is kept for learning what became of the work that was given up; at most so many milliseconds. */
const RESERVE = 1 / 10
const MAX_RESERVE_MS = 500

/**
 * The deadlines of callers. A caller gives up a moment before it has to have its result. So a statement can be ended on the server, and the
 * caller told of it.
 */
export class CallDeadlines extends Deadlines {
  /** The deadlines of callers that have given up. */
  readonly reserve: Deadlines

  /**
   * @param callMs the time within which each caller has its result, in milliseconds
   * @param explain see {@link Deadlines}
   */
  constructor(
    readonly callMs: number,
    explain?: Deadlines['explain']
  ) {
    const reserveMs = Math.min(callMs * RESERVE, MAX_RESERVE_MS)
    super(callMs - reserveMs, explain)
    this.reserve = new Deadlines(reserveMs)
  }
}
