// What `store.stats()` counts, in the text format of Prometheus: app.get('/metrics', (req, res) => res.type('text/plain').send(metrics(store)))
export function metrics(store) {
  const { operations, statements, waiting, events } = store.stats()
  const lines = ['# TYPE session_store_waiting gauge', `session_store_waiting ${waiting}`]
  const family = (name, label, counts, value) => {
    lines.push(`# TYPE session_store_${name} counter`)
    for (const [key, count] of Object.entries(counts)) lines.push(`session_store_${name}{${label}="${key}"} ${value(count)}`)
  }
  family('operations_total', 'operation', operations, ({ calls }) => calls)
  family('operation_errors_total', 'operation', operations, ({ errors }) => errors)
  family('operation_seconds_total', 'operation', operations, ({ totalMs }) => totalMs / 1000)
  family('statements_total', 'statement', statements, ({ calls }) => calls)
  family('statement_rows_total', 'statement', statements, ({ rows }) => rows)
  family('events_total', 'event', events, (count) => count)
  return `${lines.join('\n')}\n`
}
