import { afterPoll, afterTick } from './natives'

/** Does `work` when everything of this turn of the event loop is done. */
export function afterThisTurn(work: () => void): void {
  afterPoll(work)
}

/** Lets the event loop run once. If the database is in this process, other calls would get no turn otherwise. */
export function takeTurns(): Promise<void> {
  return new Promise(afterPoll)
}

/**
 * A caller may wait for so many promises and ticks in a row between its result and its next call, and still be in time for {@link
 * afterAnswers}.
 */
const HOPS = 4

let waiting: (() => void)[] | undefined
const nothing = Promise.resolve()

/**
 * Does `work` soon: after the callers that have their results now could make their next call, and before the event loop goes on. To wait
 * for the end of the turn would cost one more round of the loop, a twentieth of a small call.
 */
export function afterAnswers(work: () => void): void {
  if (waiting !== undefined) {
    waiting.push(work)
    return
  }
  waiting = [work]
  hop(HOPS)
}

/** Ticks run before promises. Promises run before the ticks that they ask for. */
function hop(left: number): void {
  afterTick(() => {
    if (left > 0) {
      nothing.then(() => hop(left - 1))
      return
    }
    const works = waiting ?? []
    waiting = undefined
    // Each runs in a tick of its own, so that the error of one does not reach another.
    for (const work of works) afterTick(work)
  })
}
