import { monotonicNow } from '../runtime/natives'
import { withCommas } from './screen'
import type { Output } from './system'

/** The shortest time between two updates of the bar in a terminal, and between two lines in a pipe, in milliseconds. */
const TERMINAL_MS = 100
const PIPE_MS = 2000
const WIDTH = 24

/**
 * Shows the progress of long work, its speed and the time that is left. In a terminal this is a bar in one line; in a pipe, it is one line
 * after another. Call `update` with 0 at the beginning, then as often as you like. `update` can be passed as `onProgress`. At the end, call
 * `end`.
 */
export class ProgressBar {
  private startedAt = 0
  private shownAt = 0
  private shownDone = 0
  private done = 0
  private total: number | undefined
  private isShown = false

  constructor(
    private readonly output: Output,
    private readonly label: string,
    private readonly now: () => number = monotonicNow
  ) {}

  /**
   * @param done the number of items done since the beginning
   * @param total the number of all items, if it is known
   */
  update(done: number, total?: number): void {
    this.done = done
    this.total = total
    if (!this.isShown) {
      this.startedAt = this.now()
      this.show()
    } else if (this.now() - this.shownAt >= (this.isTerminal ? TERMINAL_MS : PIPE_MS)) this.show()
  }

  /** Shows the last state, and moves to the line below the bar. */
  end(): void {
    if (!this.isShown) return
    // In a pipe every line stays, so the last line is not printed twice.
    if (this.isTerminal || this.done !== this.shownDone) this.show()
    if (this.isTerminal) this.output.write('\n')
    this.isShown = false
  }

  private show(): void {
    this.shownAt = this.now()
    this.isShown = true
    this.shownDone = this.done
    const facts = this.facts().join(', ')
    if (!this.isTerminal) this.output.write(`${this.label}: ${facts}\n`)
    // The text is cut at the width of the terminal. If it wrapped into a second line, the next update could not overwrite it.
    else this.output.write(`\r\u001b[K${`${this.label} ${this.bar()}${facts}`.slice(0, (this.output.columns || 80) - 1)}`)
  }

  private facts(): string[] {
    const { done, total } = this
    const seconds = (this.now() - this.startedAt) / 1000
    const rate = seconds > 0 ? done / seconds : 0
    const facts = [total === undefined ? withCommas(done) : `${withCommas(done)} of ${withCommas(total)}`]
    if (rate > 0) facts.push(`${withCommas(Math.round(rate))} a second`)
    if (rate > 0 && total !== undefined && total > done) facts.push(`${timeOf((total - done) / rate)} left`)
    return facts
  }

  private bar(): string {
    const { done, total } = this
    if (total === undefined || total === 0) return ''
    const full = Math.floor(Math.min(1, done / total) * WIDTH)
    return `[${'#'.repeat(full)}${'.'.repeat(WIDTH - full)}] ${Math.floor(Math.min(1, done / total) * 100)} % `
  }

  private get isTerminal(): boolean {
    return this.output.isTTY === true
  }
}

/** Returns a duration in the unit that is easiest to read. */
function timeOf(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`
  return `${(seconds / 3600).toFixed(1)} h`
}
