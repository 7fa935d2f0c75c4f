/** How many milliseconds one statement may take. The driver is synchronous, so nothing else runs in this thread meanwhile. */
const TARGET_MS = 10
const FIRST = 100
/** The least rows of a statement. A commit has a cost of its own, so fewer rows would not take less time. */
const FEWEST = 10

/** Learns the number of rows of a statement from the times of the last statements, because a row may be large and a disk slow. */
export class Pace {
  private fitting = FIRST

  /** @param limit the most rows that it returns */
  rows(limit: number): number {
    return Math.min(limit, this.fitting)
  }

  took(rows: number, ms: number): void {
    const fitting = ms > 0 ? Math.floor((rows * TARGET_MS) / ms) : Number.POSITIVE_INFINITY
    // The next rows may be larger than these.
    if (fitting < this.fitting || rows === this.fitting) this.fitting = Math.max(FEWEST, Math.min(fitting, rows * 2))
  }
}
