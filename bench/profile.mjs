// Where the time goes: node bench/profile.mjs --store=ours-pg --op=get --c=64 [--seconds=5] [--payload=2KB] [--rows=10000]
import { mkdirSync, writeFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'
import { parseArgs } from 'node:util'
import { makeBench, measure, preload } from './measure.mjs'
import { table } from './report/table.mjs'
import { startServers } from './servers/index.mjs'
import { payloads, sessionId } from './session.mjs'
import { findStore } from './stores/index.mjs'

const { values } = parseArgs({
  options: {
    store: { type: 'string', default: 'ours-pg' },
    op: { type: 'string', default: 'get' },
    c: { type: 'string', default: '64' },
    seconds: { type: 'string', default: '5' },
    payload: { type: 'string', default: '2KB' },
    rows: { type: 'string', default: '10000' }
  }
})

const store = findStore(values.store)
const servers = await startServers(new Set([store.server]))
try {
  const missing = store.missing?.() ?? servers[store.server]?.missing
  if (missing) throw new Error(missing)
  await profile()
} finally {
  await servers.stop()
}

async function profile() {
  const server = servers[store.server]
  const bytes = payloads[values.payload]
  const ids = Array.from({ length: Number(values.rows) }, (_, index) => sessionId(index))
  const opened = await store.open({ url: server?.url, directory: servers.directory, options: { touchAfterMs: 0 } })
  await preload(opened.store, ids, bytes)
  await server?.settle()
  const bench = makeBench(opened.store, ids, bytes)
  const cell = { op: values.op, callers: Number(values.c) }
  await measure(bench, { ...cell, seconds: 2 })

  const inspector = new Session()
  inspector.connect()
  await inspector.post('Profiler.enable')
  await inspector.post('Profiler.setSamplingInterval', { interval: 200 })
  const before = await readings(server)
  await inspector.post('Profiler.start')
  const result = await measure(bench, { ...cell, seconds: Number(values.seconds) })
  const { profile } = await inspector.post('Profiler.stop')
  const after = await readings(server)
  await opened.close()

  mkdirSync(new URL('./results/', import.meta.url), { recursive: true })
  const file = new URL(`./results/local-${store.name}-${values.op}-${values.c}.cpuprofile`, import.meta.url)
  writeFileSync(file, JSON.stringify(profile))
  print(profile, result, { before, after })
}

async function readings(server) {
  return { cpuMs: server?.cpuMs() ?? null, statements: (await server?.statements()) ?? null }
}

function print(profile, result, { before, after }) {
  const { functions, places, totalMs } = selfTimes(profile)
  const perOperation = (time) => ((time * 1000) / result.operations).toFixed(2)
  const part = (time) => `${((time / totalMs) * 100).toFixed(1)} %`
  const lines = (map, most) =>
    [...map]
      .sort((a, b) => b[1] - a[1])
      .slice(0, most)
      .map(([name, time]) => [name, part(time), perOperation(time)])
  console.log(
    `${store.name} ${values.op} c=${values.c}: ${Math.round(result.perSecond)} a second, p50 ${result.p50.toFixed(3)} ms, p99 ${result.p99.toFixed(3)} ms, Node ${result.nodeCpu.toFixed(1)} µs an operation`
  )
  if (after.cpuMs !== null) console.log(`server ${perOperation(after.cpuMs - before.cpuMs)} µs an operation`)
  if (after.statements !== null) {
    console.log(`statements an operation: ${((after.statements - before.statements) / result.operations).toFixed(3)}`)
  }
  console.log(`\n${table(['self time by place', 'part', 'µs an operation'], lines(places, 14))}`)
  console.log(`\n${table(['self time by function', 'part', 'µs an operation'], lines(functions, 40))}`)
}

/** Milliseconds of self time by function and by package (or folder of ours). */
function selfTimes({ nodes, samples, timeDeltas }) {
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const functions = new Map()
  const places = new Map()
  let totalMs = 0
  for (const [index, id] of samples.entries()) {
    const { functionName, url, lineNumber } = byId.get(id).callFrame
    const time = timeDeltas[index] / 1000
    const place = placeOf(functionName, url)
    const line = url && !url.startsWith('node:') ? `:${lineNumber + 1}` : ''
    add(functions, `${functionName || '(anonymous)'}  ${place === '(engine)' ? '' : shorten(url) + line}`, time)
    add(places, place, time)
    totalMs += time
  }
  return { functions, places, totalMs }
}

function placeOf(functionName, url) {
  if (functionName === '(idle)' || functionName === '(garbage collector)') return functionName
  if (url.startsWith('node:')) return 'node'
  const found = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)
  if (found) return found[1]
  if (url.includes('/dist/')) return `ours: ${/\/dist\/(?:([^/]+)\/)?[^/]*$/.exec(url)?.[1] ?? ''}`
  return url ? 'bench' : '(engine)'
}

function shorten(url) {
  return url.replace(/^.*\/node_modules\//, '').replace(/^file:\/\/.*?\/(dist|bench)\//, '$1/')
}

function add(map, key, time) {
  map.set(key, (map.get(key) ?? 0) + time)
}
