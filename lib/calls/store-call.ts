import type { Statistics } from '../observe/statistics'
import { Observation, operationChannel } from '../observe/tracing'
import type { Call } from './callbacks'
import type { CallDeadlines } from './caller'

/** A call as it is counted, bounded in time, and told to those who listen. */
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
