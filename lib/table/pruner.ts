import { debug } from '../observe/debug'
import { takeTurns } from '../runtime/event-loop'
import { startTimer, type Timer } from '../runtime/natives'

/** The parts and settings of a pruner. */
export interface PrunerOptions {
  readonly intervalMs: number
  readonly batchSize: number
  /** Returns true if this process may prune for the next `leaseMs`. Only one process at a time gets true. */
  readonly claim: (leaseMs: number) => Promise<boolean>
  /** Deletes at most `limit` rows and returns how many it deleted. */
  readonly prune: (limit: number) => Promise<number>
  /** True while the Knex can still be used. */
  readonly isAlive: () => boolean
}

/** A store whose table is pruned. It gets the errors of failed rounds. */
export interface PrunerMember {
  readonly onError: (error: unknown) => void
}

/** Deletes expired rows at intervals. Its timer never keeps the process alive, and it holds no connection between two rounds. */
export class Pruner {
  private timer: Timer | undefined
  private round: Promise<void> = Promise.resolve()
  /** Held weakly: an application that is built again and again must not be kept in memory by the pruner that it shares. */
  private readonly members = new Set<WeakRef<PrunerMember>>()

  constructor(private readonly options: PrunerOptions) {}

  /** Adds a member. The first member starts the pruner. */
  join(member: PrunerMember): void {
    this.members.add(new WeakRef(member))
    if (this.timer === undefined) this.schedule()
  }

  /** Removes a member. The last one stops the pruner, and this resolves when the current round has ended. */
  async leave(member: PrunerMember): Promise<void> {
    if (this.present(member).length > 0) return
    this.stop()
    await this.round
  }

  /** Returns the members that still exist, without the given one and without those that were garbage-collected. */
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
    // The delay is random, so that processes which started together do not prune together.
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
      // A Knex that was destroyed may be initialised again. So only this round is left out.
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
 * Deletes batch after batch, until a batch is not full or `isStopped` returns true. Returns how many rows it deleted. Between two batches
 * the event loop runs once. Without this, no other call could run while a database in this process is pruned.
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
    await takeTurns()
  }
}
