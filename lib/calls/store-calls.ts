import { StoreClosedError } from '../errors'
import { Statistics } from '../observe/statistics'
import { Observation, operationChannel } from '../observe/tracing'
import { answerInTime, type Call, type Callback } from './callbacks'
import type { CallDeadlines, Caller } from './caller'

/** What the calls of a store are made with. */
export interface StoreCallsOptions {
  readonly dialect: { readonly name: string }
  readonly onError: (error: unknown) => void
  readonly deadlines: CallDeadlines
  /** Called before the first call of a store that is open. */
  readonly beforeFirst: () => void
  /** Throws if the store cannot be used now. */
  readonly assertUsable: () => void
}

/** The calls of one store: each is counted, bounded in time, and has one result. */
export class StoreCalls {
  readonly statistics = new Statistics()
  private hasBegun = false
  private isClosed = false
  private inFlight = 0
  private idle: (() => void) | undefined

  constructor(private readonly options: StoreCallsOptions) {}

  /**
   * Does the work of a call.
   *
   * @param work is given what the call gives up with
   * @param deadlines null for a call that is bounded step by step
   */
  perform<T>(
    operation: string,
    work: (caller: Caller) => Promise<T>,
    callback: Callback<T> | undefined,
    deadlines: CallDeadlines | null = this.options.deadlines
  ): Promise<T> | undefined {
    if (!this.hasBegun) this.begin()
    const call = new StoreCall(operation, deadlines, this.options, this.statistics, this.ended)
    this.inFlight++
    // An error that it throws is the result of the call.
    const start = (caller: Caller) => {
      if (this.isClosed) throw new StoreClosedError(operation)
      this.options.assertUsable()
      return call.start(() => work(caller))
    }
    return answerInTime(start, call, typeof callback === 'function' ? callback : undefined)
  }

  /** Refuses new calls. */
  refuse(): void {
    this.isClosed = true
  }

  /** Resolves when the calls in flight have their results. */
  async settled(): Promise<void> {
    if (this.inFlight > 0) await new Promise<void>((resolve) => (this.idle = resolve))
  }

  private begin(): void {
    this.hasBegun = true
    if (!this.isClosed) this.options.beforeFirst()
  }

  private readonly ended = () => {
    this.inFlight--
    if (this.inFlight === 0) this.idle?.()
  }
}

/** A call of the store that is counted, bounded in time, and reported to the subscribers of its channel. */
class StoreCall extends Observation implements Call {
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
