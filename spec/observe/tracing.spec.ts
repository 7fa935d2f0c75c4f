import { AsyncLocalStorage } from 'node:async_hooks'
import { tracingChannel } from 'node:diagnostics_channel'
import { inspect } from 'node:util'
import { expect, it } from 'vitest'
import type { SessionTrace } from '../../lib'
import { describeDatabases } from '../support/databases'
import { handMade, openStore } from '../support/stores'

const SECRET = 'a secret that no subscriber may see'

/** What subscribers of a channel are told, as they are told it. */
function listen(name: 'operation' | 'statement') {
  const channel = tracingChannel(`knex-session-store:${name}`)
  const heard: { event: string; trace: SessionTrace; seen: string }[] = []
  const on = (event: string) => (trace: unknown) => {
    heard.push({ event, trace: trace as SessionTrace, seen: inspect(trace, { depth: 10, showHidden: true }) })
  }
  const subscribers = { start: on('start'), end: on('end'), asyncStart: on('asyncStart'), asyncEnd: on('asyncEnd'), error: on('error') }
  channel.subscribe(subscribers)
  return { heard, [Symbol.dispose]: () => void channel.unsubscribe(subscribers) }
}

describeDatabases('the tracing channels', (database) => {
  it('tell each operation from its start to its end, with its duration', async () => {
    await using opened = await openStore(database)
    using listened = listen('operation')
    const { store } = opened
    await store.set('id', handMade({ a: 1 }))
    await new Promise((resolve) => store.get('id', resolve))
    expect(listened.heard.map(({ event, trace }) => `${trace.operation} ${event}`)).toEqual(
      ['set', 'get'].flatMap((operation) => ['start', 'end', 'asyncStart', 'asyncEnd'].map((event) => `${operation} ${event}`))
    )
    for (const { trace } of listened.heard) {
      expect(Object.keys(trace).sort()).toEqual(['dialect', 'durationMs', 'operation'])
      expect(trace.durationMs).toBeGreaterThan(0)
    }
  })

  it('tell an operation that failed, with its error', async () => {
    await using opened = await openStore(database)
    using listened = listen('operation')
    await opened.store.set('id', handMade({ amount: 1n })).catch(() => undefined)
    expect(listened.heard.map(({ event }) => event)).toEqual(['start', 'end', 'error', 'asyncStart', 'asyncEnd'])
    expect(listened.heard[2]?.trace.error).toMatchObject({ code: 'ERR_SESSION_UNSERIALIZABLE' })
  })

  it('tell the statement of many calls once, with their number', async () => {
    await using opened = await openStore(database)
    const { store } = opened
    await store.ready()
    using listened = listen('statement')
    await Promise.all(['a', 'b'].map((id) => store.get(id)))
    const starts = listened.heard.filter(({ event }) => event === 'start').map(({ trace }) => trace)
    expect(starts).toMatchObject([{ operation: 'get', batchSize: 2 }])
  })

  it('show no session id and no data, however deep one looks', async () => {
    await using opened = await openStore(database, { storedId: 'plain' })
    const { store, knex } = opened
    using operations = listen('operation')
    using statements = listen('statement')
    await store.set(SECRET, handMade({ [SECRET]: SECRET }))
    await store.get(SECRET)
    await store.touch(SECRET, handMade({ SECRET }))
    await store.set(SECRET, handMade({ [SECRET]: 1n })).catch(() => undefined)
    await knex('sessions').update({ data: SECRET })
    await store.get(SECRET)
    await store.all()
    await store.destroy(SECRET)
    expect(operations.heard.length).toBeGreaterThan(20)
    expect(statements.heard.length).toBeGreaterThan(20)
    for (const { seen } of [...operations.heard, ...statements.heard]) expect(seen).not.toContain(SECRET)
  })

  it('let a span begun at the start be the parent of what happens inside', async () => {
    await using opened = await openStore(database)
    const span = new AsyncLocalStorage<string>()
    const channel = tracingChannel('knex-session-store:operation')
    const parents: (string | undefined)[] = []
    const subscribers = { start: () => parents.push(span.getStore()) }
    const statement = tracingChannel('knex-session-store:statement')
    channel.start.bindStore(span, (trace) => `span of ${(trace as unknown as SessionTrace).operation}`)
    statement.start.subscribe(subscribers.start)
    try {
      await opened.store.ready()
      parents.length = 0
      await opened.store.get('id')
      expect(span.getStore()).toBeUndefined()
    } finally {
      channel.start.unbindStore(span)
      statement.start.unsubscribe(subscribers.start)
    }
    expect(parents).toEqual(['span of get'])
  })
})
