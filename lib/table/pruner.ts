import { debug } from '../observe/debug'
import { afterPoll, startTimer, type Timer } from '../runtime/natives'

/** What a pruner is made with. */
export interface PrunerOptions {
  readonly intervalMs: number
  readonly batchSize: number
  /** True if this process is the one to prune for the next `leaseMs`. */
  readonly claim: (leaseMs: number) => Promise<boolean>
  /** Deletes at most `limit` rows and returns how many. */
  readonly prune: (limit: number) => Promise<number>
  /** True while the Knex it runs on can still be used. */
  readonly isAlive: () => boolean
}

/** A store that wants its table pruned, and is told of rounds that failed. */
export interface PrunerMember {
  readonly onError: (error: unknown) => void
}

/** Deletes expired rows now and then. Its timer never keeps the process alive, and it holds no connection between two rounds. */
export class Pruner {
  private timer: Timer | undefined
  private round: Promise<void> = Promise.resolve()
  /** Weak: an application that is built again and again must not be kept by the pruner it shares. */
  private readonly members = new Set<WeakRef<PrunerMember>>()

  constructor(private readonly options: PrunerOptions) {}

  /** Begins when the first member joins. */
  join(member: PrunerMember): void {
    this.members.add(new WeakRef(member))
    if (this.timer === undefined) this.schedule()
  }

  /** Ends when the last member has left; resolves when no round is under way. */
  async leave(member: PrunerMember): Promise<void> {
    if (this.present(member).length > 0) return
    this.stop()
    await this.round
  }

  /** The members that still exist, without the one given and without those that were garbage-collected. */
  private present(leaving?: PrunerMember): PrunerMember[] {
    const present: PrunerMember[] = []
    for (const reference of this.members) {
      const member = reference.deref()
      if (member === undefined || member === leaving) this.members.delete(reference)
      else present.push(member)
    }
    return present
  }

  private schedule(): void {
    this.timer?.stop()
    // Processes that were started together must not prune together.
    const delay = this.options.intervalMs * (0.75 + Math.random() / 2)
    this.timer = startTimer(
      () => {
        this.round = this.runRound()
      },
      Math.min(delay, 2_147_483_647)
    )
  }

  private async runRound(): Promise<void> {
    if (this.present().length === 0) return this.stop()
    const { isAlive, claim, prune, intervalMs, batchSize } = this.options
    try {
      // A Knex that was destroyed may be initialised again, so only this round is left out.
      if (isAlive() && (await claim(Math.ceil(intervalMs * 0.7)))) await pruneAll(prune, batchSize, () => this.timer === undefined)
    } catch (error) {
      debug('pruning failed: %s', (error as Error).message)
      for (const { onError } of this.present()) onError(error)
    }
    if (this.timer !== undefined) this.schedule()
  }

  private stop(): void {
    this.timer?.stop()
    this.timer = undefined
  }
}

/**
 * Deletes batch after batch until one is not full, or there shall be no more. Returns how many rows went. Between two batches the event loop
 * goes round once, because where the database is in this process nothing else would let other calls run.
 */
export async function pruneAll(
  prune: (limit: number) => Promise<number>,
  batchSize: number,
  isStopped: () => boolean = () => false
): Promise<number> {
  let total = 0
  for (;;) {
    const pruned = await prune(batchSize)
    total += pruned
    if (pruned < batchSize || isStopped()) return total
    await new Promise<void>(afterPoll)
  }
}
