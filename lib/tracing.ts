import { type TracingChannel, tracingChannel } from 'node:diagnostics_channel'
import type { Statistics } from './statistics'

/** What subscribers of `tracing:knex-session-store:operation:*` and `…:statement:*` are given. No session id and no data is in it. */
export interface SessionTrace {
  /** `get`, `set`, `touch`, `destroy`, … */
  readonly operation: string
  /** Which database it is. */
  readonly dialect: string
  /** Of a statement: how many rows it is for. */
  readonly batchSize?: number
  /** From `start` on; there when it has ended. */
  durationMs?: number
  /** There if it failed. */
  error?: unknown
}

/** One call of the store. */
export const operationChannel: TracingChannel = tracingChannel('knex-session-store:operation')

/** One statement, for the calls of many. */
export const statementChannel: TracingChannel = tracingChannel('knex-session-store:statement')

/**
 * One call or statement as it is counted, and told to the subscribers of its channel. Not `tracePromise`, which would hand them the
 * result, a session.
 */
export class Observation {
  private readonly startedAt = performance.now()
  private readonly heard: boolean

  constructor(
    private readonly channel: TracingChannel,
    private readonly trace: SessionTrace,
    private readonly statistics: Statistics
  ) {
    this.heard = channel.hasSubscribers
  }

  /** Within the stores that subscribers have bound, so that a span can be the parent of what happens inside. */
  start<T>(work: () => Promise<T>): Promise<T> {
    if (!this.heard) return work()
    const { channel, trace } = this
    return channel.start.runStores(trace, () => {
      try {
        return work()
      } finally {
        channel.end.publish(trace)
      }
    })
  }

  end(error: unknown): void {
    const { channel, trace } = this
    const ms = performance.now() - this.startedAt
    this.statistics.record(trace.operation, ms, error !== undefined, trace.batchSize)
    if (!this.heard) return
    trace.durationMs = ms
    if (error !== undefined) {
      trace.error = error
      channel.error.publish(trace)
    }
    channel.asyncStart.publish(trace)
    channel.asyncEnd.publish(trace)
  }
}
