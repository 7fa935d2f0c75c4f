/** Answers by which a rate is measured, a hundredth of a second of a busy process, and rates in a sample, whose median counts. */
const ANSWERS = 16
const RATES = 9
/** A pause, in milliseconds, after which what was counted says nothing any more. */
const PAUSE_MS = 100
/** Fewer rows a statement come where little is asked for at the same time. */
const MIN_ROWS = 8
/** Chance alone makes less of a difference than this. */
const WORTHWHILE = 1.05
/** Samples from one trial to the next: what is faster may change, and to look for it costs a few hundredths where it does not. */
const BETWEEN_TRIALS = 16

/**
 * Whether a statement that waits for the disk is faster in a pipeline. Nobody can know before: on one connection the server's process is
 * always busy, on two the statements share one turn of the disk. With a fast disk the pipeline writes a quarter more, with a slow one, or one
 * that waits for a standby, up to a half less. So under load both are tried, and whichever answers for more rows in the time is kept.
 */
export class PipelineTrial {
  /** True if a run may be sent behind the last one, before that is answered. */
  isOpen = false
  private answers = 0
  private rows = 0
  private began = 0
  private latest = Number.NEGATIVE_INFINITY
  /** Rows a millisecond. */
  private rates: number[] = []
  /** What they were before the trial that is under way; none where none is. */
  private rateBefore: number | undefined
  private samplesLeft = 1

  /** Counts a run that was answered at the moment `now`, as `performance.now()` has it. */
  answered(rows: number, now = performance.now()): void {
    const hasPaused = now - this.latest > PAUSE_MS
    this.latest = now
    if (hasPaused) this.beginSample(now)
    else this.count(rows, now)
  }

  private count(rows: number, now: number): void {
    this.answers++
    this.rows += rows
    if (this.answers < ANSWERS) return
    if (this.rows < ANSWERS * MIN_ROWS) {
      this.giveUp()
      this.beginSample(now)
      return
    }
    this.rates.push(this.rows / (now - this.began))
    this.beginRate(now)
    if (this.rates.length < RATES) return
    this.judge(this.rates.sort((a, b) => a - b)[RATES >> 1] as number)
    this.beginSample(now)
  }

  private judge(rate: number): void {
    if (this.rateBefore === undefined) {
      this.samplesLeft--
      if (this.samplesLeft > 0) return
      this.rateBefore = rate
      this.isOpen = !this.isOpen
      return
    }
    if (rate < this.rateBefore * WORTHWHILE) this.isOpen = !this.isOpen
    this.rateBefore = undefined
    this.samplesLeft = BETWEEN_TRIALS
  }

  /** Where little is asked for, nothing is gained, and whoever goes behind a statement waits for its turn of the disk too. */
  private giveUp(): void {
    this.isOpen = false
    this.rateBefore = undefined
    this.samplesLeft = 1
  }

  private beginSample(now: number): void {
    this.rates = []
    this.beginRate(now)
  }

  private beginRate(now: number): void {
    this.answers = 0
    this.rows = 0
    this.began = now
  }
}
