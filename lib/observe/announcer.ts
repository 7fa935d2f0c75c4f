import type { Announce } from '../events'
import { afterTick } from '../runtime/natives'

/** Emits the events of a store, and counts them. */
export class Announcer {
  private readonly counts = new Map<string, number>()

  constructor(private readonly emit: (name: string, ...event: readonly unknown[]) => void) {}

  readonly announce: Announce = (name, ...event) => {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1)
    // In a tick of its own: an error of the listener must not become the result of a call that succeeded.
    afterTick(() => this.emit(name, ...event))
  }

  /** How many events of each name there were. */
  events(): Record<string, number> {
    return Object.fromEntries(this.counts)
  }
}
