// What the store counts, for Prometheus at /metrics, and a span of OpenTelemetry for each of its operations.
import { SpanStatusCode } from '@opentelemetry/api'
import { BasicTracerProvider, ConsoleSpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import express from 'express'
import session from 'express-session'
import knex from 'knex'
import { KnexSessionStore } from 'knex-session-store'
import { metrics } from './prometheus.mjs'
import { trace } from './spans.mjs'

// Of your own application: the tracer that it has, with an exporter to your collector.
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(new ConsoleSpanExporter())] })
const tracer = provider.getTracer('sessions')
const stopTracing = trace({
  start: (name, attributes) => tracer.startSpan(name, { attributes }),
  end(span, { error }) {
    // Messages of the store's errors have no session id, data or secret in them.
    if (error) span.setStatus({ code: SpanStatusCode.ERROR, message: error.message })
    span.end()
  }
})

const db = knex({ client: 'better-sqlite3', connection: { filename: 'sessions.sqlite' }, useNullAsDefault: true })
const store = new KnexSessionStore({ knex: db, onError: (error) => console.error(error.message) })

const app = express()
// Before session(): Prometheus needs no session. In production, do not serve it to everybody.
app.get('/metrics', (_req, res) => res.type('text/plain').send(metrics(store)))
app.use(session({ store, secret: process.env.SESSION_SECRET ?? 'only for this example', resave: false, saveUninitialized: false }))
app.get('/', (req, res) => {
  req.session.visits = (req.session.visits ?? 0) + 1
  res.send(`Visit ${req.session.visits}\n`)
})

const server = app.listen(process.env.PORT ?? 3000, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`))
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    server.close(async () => {
      await store.close()
      await db.destroy()
      stopTracing()
      await provider.shutdown()
    })
  })
}
