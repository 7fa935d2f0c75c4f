/** Counts and times of one kind of call, since the start. */
export interface CallStatistics {
  /** How many calls have ended. */
  readonly calls: number
  /** How many of them failed. */
  readonly errors: number
  /** The sum of their times, in milliseconds. */
  readonly totalMs: number
  /** The longest time, in milliseconds. */
  readonly maxMs: number
}

/** Counts and times of one kind of statement, since the start. `rows` over `calls` is the mean batch size. */
export interface StatementStatistics extends CallStatistics {
  /** How many rows the statements were for. */
  readonly rows: number
}

/** What `store.stats()` returns: plain numbers, which do not change afterwards. */
export interface SessionStoreStatistics {
  /** By method of the store: `get`, `set`, … */
  readonly operations: Readonly<Record<string, CallStatistics>>
  /** By kind of statement. Stores of the same Knex and table share these numbers. */
  readonly statements: Readonly<Record<string, StatementStatistics>>
  /** How many calls wait for a statement at this moment. */
  readonly waiting: number
  /** How often each event was emitted, by its name. */
  readonly events: Readonly<Record<string, number>>
}

interface Tally {
  calls: number
  rows: number
  errors: number
  totalMs: number
  maxMs: number
}

/** Counts and times by name. */
export class Statistics {
  private readonly tallies = new Map<string, Tally>()

  record(name: string, ms: number, failed: boolean, rows = 0): void {
    let tally = this.tallies.get(name)
    if (tally === undefined) {
      tally = { calls: 0, rows: 0, errors: 0, totalMs: 0, maxMs: 0 }
      this.tallies.set(name, tally)
    }
    tally.calls++
    tally.rows += rows
    tally.totalMs += ms
    if (failed) tally.errors++
    if (ms > tally.maxMs) tally.maxMs = ms
  }

  calls(): Record<string, CallStatistics> {
    return Object.fromEntries([...this.tallies].map(([name, { rows: _, ...tally }]) => [name, tally]))
  }

  statements(): Record<string, StatementStatistics> {
    return Object.fromEntries([...this.tallies].map(([name, tally]) => [name, { ...tally }]))
  }
}
