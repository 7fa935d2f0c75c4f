import type { SessionStoreError } from '../errors'
import { afterAnswers } from '../runtime/event-loop'
import { afterPoll, monotonicNow, startTimer, type Timer } from '../runtime/natives'

/*
 * Where time is bounded:
 *
 * | what | by | how long |
 * | --- | --- | --- |
 * | a call of the store | `CallDeadlines` of the store | nine tenths of `timeoutMs`, then it gives up its work |
 * | a call that has given up | its `reserve` | the last tenth, at most half a second, to learn whether it was written |
 * | a step of a long call (`clear`, `prune`, `health`) | `withinTime` | `timeoutMs` each |
 * | a row that is read or written without a caller | the lane | `timeoutMs` |
 * | a statement, and its wait for a connection | `Database` | `timeoutMs`; the wait ends a little earlier |
 * | a statement that should no longer hold up others | `Flights` | 20 ms, then it counts as slow |
 * | a request to end a statement | `ServerEnding` | a second |
 *
 * Each is a list of its own, because all members of a list have the same time. So the list is in the order of its ends, needs one timer,
 * and adding and removing cost no search.
 */

/** Something that has to have its result within the time, and a link in the list of all of them. */
export abstract class Bounded {
  due = 0
  /** True once it was given more time because this process stood still. */
  spared = false
  previous: Bounded | undefined = undefined
  next: Bounded | undefined = undefined

  /** Called once when time is up; not after `Deadlines.remove`. */
  abstract expire(): void
}

/** A timer that is later than this, in milliseconds, says that this process stood still: a breakpoint, SIGSTOP, a long computation. */
const STOOD_STILL_MS = 50
/**
 * Whatever becomes due within so many milliseconds of another expires with it. Calls that began together end together, so that none of them
 * is sent for a moment after the one before it was given up.
 */
const TOGETHER_MS = 2
/** The most milliseconds that are added once to what became due while the process stood still. The results may have arrived meanwhile. */
const SPARED_MS = 1000

/**
 * When this process last stood still, and by how much all that waited meanwhile is put off: by the time that it stood still, and as much
 * again. It holds for all lists. One list may end a little before another so that its error reaches the caller, and this order stays.
 */
let lastStop = { endedAt: Number.NEGATIVE_INFINITY, delayMs: 0 }

/**
 * The deadlines of many calls that all have the same time, in the order of their beginning. All of them share one timer, because a timer
 * for each call costs as much as everything else here. The timer never keeps the process alive, and ends a moment after the last result.
 *
 * A slow process must not look like a slow database. Before anything expires, the event loop reads what has arrived. After the process
 * stood still, everything that waited meanwhile gets a little more time, once.
 */
export class Deadlines {
  private first: Bounded | undefined
  private last: Bounded | undefined
  private timer: Timer | undefined
  private disarming = false

  /**
   * @param timeoutMs the time of each, in milliseconds
   * @param explain returns the error of a call whose time is over, if it knows the reason
   */
  constructor(
    readonly timeoutMs: number,
    readonly explain: (operation: string, waitedMs: number) => SessionStoreError | undefined = () => undefined
  ) {}

  /** @param since when its time began, as `monotonicNow()` has it */
  add(bounded: Bounded, since: number): void {
    bounded.due = since + this.timeoutMs
    bounded.previous = this.last
    if (this.last === undefined) this.first = bounded
    else this.last.next = bounded
    this.last = bounded
    if (this.timer === undefined) this.arm(bounded.due, this.timeoutMs)
  }

  remove(bounded: Bounded): void {
    const { previous, next } = bounded
    if (previous === undefined) this.first = next
    else previous.next = next
    if (next === undefined) this.last = previous
    else next.previous = previous
    // An old one that still led to younger ones would keep them all from being collected early, and their sessions with them.
    bounded.previous = undefined
    bounded.next = undefined
    if (this.first === undefined) this.disarmLater()
  }

  /** Mostly another call follows at once, and to set a timer costs more than its share of a call. */
  private disarmLater(): void {
    if (this.disarming) return
    this.disarming = true
    afterAnswers(() => {
      this.disarming = false
      if (this.first !== undefined) return
      this.timer?.stop()
      this.timer = undefined
    })
  }

  /** Sets the timer for the first one. If that has its result in time, the timer comes too early for the next, and is set again. */
  private arm(due: number, ms: number): void {
    const timer = startTimer(() => {
      const now = monotonicNow()
      const lateMs = now - due
      // Another list may have seen the same stop.
      if (lateMs > STOOD_STILL_MS && lastStop.endedAt < due) lastStop = { endedAt: now, delayMs: lateMs + Math.min(lateMs, SPARED_MS) }
      this.spare()
      // Two rounds of the event loop: if a result is read in the first, its driver may need the second to pass it on.
      afterPoll(() =>
        afterPoll(() => {
          if (this.timer !== timer) return
          this.timer = undefined
          this.expireUntil(Math.max(due, monotonicNow()))
        })
      )
    }, ms)
    this.timer = timer
  }

  /** Puts off what waited while the process stood still, and was not put off before. */
  private spare(): void {
    const { endedAt, delayMs } = lastStop
    for (let bounded = this.first; bounded !== undefined; bounded = bounded.next) {
      if (bounded.spared) continue
      // It began after the stop, and so did all behind it.
      if (bounded.due - this.timeoutMs >= endedAt) return
      bounded.spared = true
      bounded.due += delayMs
    }
  }

  private expireUntil(now: number): void {
    for (let bounded = this.first; bounded !== undefined && bounded.due <= now + TOGETHER_MS; bounded = this.first) {
      this.remove(bounded)
      bounded.expire()
    }
    // One that expired may have begun another call.
    if (this.first !== undefined && this.timer === undefined) this.arm(this.first.due, Math.max(1, this.first.due - now))
  }
}
