import { afterPoll, afterTick } from './natives'

/** Does `work` when all that this turn of the event loop brings is done. */
export function afterThisTurn(work: () => void): void {
  afterPoll(work)
}

/**
 * How many promises and ticks in a row a caller may wait for between its result and its next call, to be in time for {@link afterAnswers}.
 */
const HOPS = 4

let waiting: (() => void)[] | undefined
const nothing = Promise.resolve()

/**
 * Does `work` soon: after callers that have their results now had the time for their next call, and before the event loop goes on. Waiting
 * for the end of the turn instead would cost the loop one more round, a twentieth of a small call.
 */
export function afterAnswers(work: () => void): void {
  if (waiting !== undefined) {
    waiting.push(work)
    return
  }
  waiting = [work]
  hop(HOPS)
}

/** Ticks run before promises, and promises before the ticks they ask for. */
function hop(left: number): void {
  afterTick(() => {
    if (left > 0) {
      nothing.then(() => hop(left - 1))
      return
    }
    const works = waiting ?? []
    waiting = undefined
    // Each in a tick of its own: an error of one must not reach another.
    for (const work of works) afterTick(work)
  })
}
