// A span for each operation of the store. With OpenTelemetry: trace({ start: (name) => tracer.startSpan(name), … })
import { tracingChannel } from 'node:diagnostics_channel'

export function trace({ start, end }) {
  const spans = new WeakMap()
  const subscribers = {
    start: (trace) => spans.set(trace, start(`session ${trace.operation}`, { 'db.system': trace.dialect })),
    asyncEnd: (trace) => end(spans.get(trace), { durationMs: trace.durationMs, error: trace.error }),
    // A tracing channel wants all five.
    end() {},
    asyncStart() {},
    error() {}
  }
  const channel = tracingChannel('knex-session-store:operation')
  channel.subscribe(subscribers)
  return () => channel.unsubscribe(subscribers)
}
