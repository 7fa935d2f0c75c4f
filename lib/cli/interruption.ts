import { monotonicNow } from '../runtime/natives'
import { EXIT } from './exit-codes'
import type { System } from './system'

/**
 * A terminal sends Ctrl-C to all its processes, and npx passes it on to its child. So one press may arrive twice. A second signal within so
 * many milliseconds counts as the same press.
 */
const TWICE_MS = 500

/**
 * Handles Ctrl-C. For work in batches, `signal()` returns an AbortSignal: the first Ctrl-C aborts it, so the work stops after the current
 * batch, and the second Ctrl-C ends the process. If no work has asked for the signal, the first Ctrl-C ends the process.
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

  /** Returns the signal for work that can stop by itself. */
  signal(): AbortSignal {
    this.isWorkStoppable = true
    return this.controller.signal
  }

  /** Stops listening for Ctrl-C. */
  end(): void {
    this.stopListening()
  }
}
