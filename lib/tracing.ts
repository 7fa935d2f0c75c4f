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
 * Runs `work`, counts it, and tells the subscribers of the channel when it starts and ends. Not `tracePromise`, which would hand them the
 * result, a session.
 */
export async function observed<T>(
  channel: TracingChannel,
  trace: SessionTrace,
  statistics: Statistics,
  work: () => Promise<T>
): Promise<T> {
  const start = performance.now()
  const heard = channel.hasSubscribers
  const end = (error?: unknown) => {
    const ms = performance.now() - start
    statistics.record(trace.operation, ms, error !== undefined, trace.batchSize)
    if (!heard) return
    trace.durationMs = ms
    if (error !== undefined) {
      trace.error = error
      channel.error.publish(trace)
    }
    channel.asyncStart.publish(trace)
    channel.asyncEnd.publish(trace)
  }
  try {
    const result = await (heard ? startHeard(channel, trace, work) : work())
    end()
    return result
  } catch (error) {
    end(error)
    throw error
  }
}

/** Within the stores that subscribers have bound, so that a span can be the parent of what happens inside. */
function startHeard<T>(channel: TracingChannel, trace: SessionTrace, work: () => Promise<T>): Promise<T> {
  return channel.start.runStores(trace, () => {
    const promise = work()
    channel.end.publish(trace)
    return promise
  })
}
