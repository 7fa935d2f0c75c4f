import type { TimeoutOutcome } from '../database-errors'
import { Bounded, Deadlines } from './deadlines'

/** Work for a caller, which ends with the caller's patience. */
export interface Undertaking {
  /** True once it has its outcome. */
  readonly isOver: boolean
  /** What the same caller has begun before, if that is not over. */
  before: Undertaking | undefined
  /** Called once, when the caller's time is up. */
  giveUp(): void
}

/** Somebody who waits for an answer. `due` is the moment at which it gives up what is done for it. */
export abstract class Caller extends Bounded {
  hasGivenUp = false
  /** What a TimeoutError would have to say now. */
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

/** This part of a caller's time, but no more milliseconds than that, is kept for learning what became of what was given up. */
const RESERVE = 1 / 10
const MAX_RESERVE_MS = 500

/**
 * The deadlines of callers, who give up a moment before they have to be answered: so a statement can be ended on the server, and the caller
 * told that it was.
 */
export class CallDeadlines extends Deadlines {
  /** For the answers of those who have given up. */
  readonly reserve: Deadlines

  /**
   * @param callMs milliseconds within which each is answered
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
