import { type TracingChannel, tracingChannel } from 'node:diagnostics_channel'
import { monotonicNow } from '../runtime/natives'
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
  readonly startedAt = monotonicNow()
  /** The message for the subscribers. Undefined if there are none. */
  private readonly trace: SessionTrace | undefined

  constructor(
    private readonly channel: TracingChannel,
    private readonly statistics: Statistics,
    readonly operation: string,
    dialect: string,
    private readonly batchSize?: number
  ) {
    if (channel.hasSubscribers) this.trace = { operation, dialect, ...(batchSize !== undefined && { batchSize }) }
  }

  /** Within the stores that subscribers have bound, so that a span can be the parent of what happens inside. */
  start<T>(work: () => T): T {
    const { channel, trace } = this
    if (trace === undefined) return work()
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
    const ms = monotonicNow() - this.startedAt
    this.statistics.record(this.operation, ms, error !== undefined, this.batchSize)
    if (trace === undefined) return
    trace.durationMs = ms
    if (error !== undefined) {
      trace.error = error
      channel.error.publish(trace)
    }
    channel.asyncStart.publish(trace)
    channel.asyncEnd.publish(trace)
  }
}
