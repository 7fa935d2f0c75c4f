/** Does `work` when all that this turn of the event loop brings is done. */
export function afterThisTurn(work: () => void): void {
  setImmediate(work)
}

/** How often those who are answered may wait for a promise or a tick before they ask again, to be in time for {@link afterAnswers}. */
const HOPS = 4

let waiting: (() => void)[] | undefined
const nothing = Promise.resolve()

/**
 * Does `work` soon: when those who are being answered now had the time to ask for something else, and before the event loop goes on. What is
 * put off to the end of the turn costs the loop a round of its own, a twentieth of a small call.
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
  process.nextTick(() => {
    if (left > 0) {
      nothing.then(() => hop(left - 1))
      return
    }
    const works = waiting ?? []
    waiting = undefined
    // Each in a tick of its own: what one throws is nobody else's.
    for (const work of works) process.nextTick(work)
  })
}
