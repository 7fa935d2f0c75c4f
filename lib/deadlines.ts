import { afterAnswers } from './turns'

/** Whoever is to be answered within the time, and a link in the list of those who are. */
export abstract class Bounded {
  due = 0
  previous: Bounded | undefined = undefined
  next: Bounded | undefined = undefined

  /** Called once when time is up; not after `Deadlines.remove`. */
  abstract expire(): void
}

/**
 * The deadlines of many calls that all have the same time, in the order they began: one timer for all of them, because one a call costs as
 * much as the rest of what bounds it. There is no timer, but for a moment after the last answer, while nobody waits.
 */
export class Deadlines {
  private first: Bounded | undefined
  private last: Bounded | undefined
  private timer: NodeJS.Timeout | undefined
  private disarming = false

  /** @param timeoutMs milliseconds that each has */
  constructor(readonly timeoutMs: number) {}

  /** @param since when its time began, as `performance.now()` has it */
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
      clearTimeout(this.timer)
      this.timer = undefined
    })
  }

  /** For the first one; if that is answered in time, the timer comes too early for the next, and is set again. */
  private arm(due: number, ms: number): void {
    this.timer = setTimeout(() => {
      this.timer = undefined
      this.expireUntil(Math.max(due, performance.now()))
    }, ms)
  }

  private expireUntil(now: number): void {
    for (let bounded = this.first; bounded !== undefined && bounded.due <= now; bounded = this.first) {
      this.remove(bounded)
      bounded.expire()
    }
    // One who expired may have begun another call.
    if (this.first !== undefined && this.timer === undefined) this.arm(this.first.due, Math.max(1, this.first.due - now))
  }
}
