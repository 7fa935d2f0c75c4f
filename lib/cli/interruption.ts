import { monotonicNow } from '../runtime/natives'
import { EXIT } from './exit-codes'
import type { System } from './system'

/** A terminal sends Ctrl-C to all its processes, and npx sends it on to its child: one press may come twice. */
const TWICE_MS = 500

/**
 * Ctrl-C, as a signal for work that goes in batches: the first one lets the batch that is under way end, the second one ends the process. Work
 * that knows no signal is ended by the first one. Give `signal()` to the work.
 */
export class Interruption {
  private readonly controller = new AbortController()
  private readonly stopListening: () => void
  private isWorkStoppable = false
  private stoppedAt = 0

  constructor(system: Pick<System, 'onStop' | 'exit' | 'stderr'>, now: () => number = monotonicNow) {
    this.stopListening = system.onStop(() => {
      const isStopped = this.controller.signal.aborted
      if (!this.isWorkStoppable) return system.exit(EXIT.stopped)
      if (isStopped) return now() - this.stoppedAt < TWICE_MS ? undefined : system.exit(EXIT.stopped)
      this.stoppedAt = now()
      system.stderr.write('\nstopping after this batch; Ctrl-C again ends at once\n')
      this.controller.abort()
    })
  }

  /** The signal for the work that begins now. */
  signal(): AbortSignal {
    this.isWorkStoppable = true
    return this.controller.signal
  }

  /** Ends listening. */
  end(): void {
    this.stopListening()
  }
}
