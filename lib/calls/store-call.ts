import type { Statistics } from '../observe/statistics'
import { Observation, operationChannel } from '../observe/tracing'
import type { Call } from './callbacks'
import type { CallDeadlines } from './caller'

/** A call of the store that is counted, bounded in time, and reported to the subscribers of its channel. */
export class StoreCall extends Observation implements Call {
  readonly onError: (error: unknown) => void

  constructor(
    operation: string,
    readonly deadlines: CallDeadlines | null,
    { dialect, onError }: { readonly dialect: { readonly name: string }; readonly onError: (error: unknown) => void },
    statistics: Statistics,
    private readonly ended: () => void
  ) {
    super(operationChannel, statistics, operation, dialect.name)
    this.onError = onError
  }

  settled(error: unknown): void {
    this.end(error)
    this.ended()
  }
}
