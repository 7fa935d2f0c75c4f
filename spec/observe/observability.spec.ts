import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, it } from 'vitest'
import type { KnexSessionStore } from '../../lib'
import { describeDatabases } from '../support/databases'
import { handMade, openStore } from '../support/stores'

const example = (file: string) => import(pathToFileURL(join(__dirname, '../../examples/observability', file)).href)

describeDatabases('the examples of observability', (database) => {
  it('give Prometheus what the store counts', async () => {
    await using opened = await openStore(database)
    const { metrics } = (await example('prometheus.mjs')) as { metrics: (store: KnexSessionStore) => string }
    await opened.store.set('id', handMade())
    await opened.store.get('id')
    const text = metrics(opened.store)
    expect(text).toContain('session_store_operations_total{operation="get"} 1\n')
    expect(text).toContain('session_store_waiting 0\n')
    for (const line of text.trimEnd().split('\n')) expect(line).toMatch(/^(# TYPE \w+ (counter|gauge)|\w+(\{\w+="\w+"\})? [\d.e-]+)$/)
  })

  it('make a span of each operation, and end it, with its error', async () => {
    await using opened = await openStore(database)
    const { trace } = (await example('spans.mjs')) as { trace: (tracer: object) => () => void }
    const spans: unknown[] = []
    const stop = trace({
      start: (name: string) => name,
      end: (name: string, { error }: { error?: { code: string } }) => spans.push([name, error?.code])
    })
    await opened.store.get('id')
    await opened.store.set('id', handMade({ amount: 1n })).catch(() => undefined)
    stop()
    await opened.store.get('id')
    expect(spans).toEqual([
      ['session get', undefined],
      ['session set', 'ERR_SESSION_UNSERIALIZABLE']
    ])
  })
})
