// Four Node processes and a network delay, in an open loop: npm run bench:delay -- --delays 0.5,2 --rates 1000,2000,4000
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { createClient } from 'redis'
import { startChild } from './child.mjs'
import { enoughInTime, lateMs, printTable, summarizeRound } from './delay/report.mjs'
import { describeMachine } from './machine.mjs'
import { quantile } from './measure.mjs'
import { startServers } from './servers/index.mjs'
import { payloads } from './session.mjs'
import { findStore } from './stores/index.mjs'

const { values } = parseArgs({
  options: {
    delays: { type: 'string', default: '0.5,2' },
    rates: { type: 'string', default: '500,1000,2000,4000,8000' },
    stores: { type: 'string', default: 'ours-pg,connect-pg-simple,connect-redis' },
    ops: { type: 'string', default: 'get,mix' },
    rounds: { type: 'string', default: '2' },
    seconds: { type: 'string', default: '3' },
    name: { type: 'string', default: 'delay' }
  }
})
const plan = { processes: 4, rows: 10_000, bytes: payloads['1KB'], lateMs, stores: values.stores.split(','), ops: values.ops.split(',') }
for (const name of ['delays', 'rates']) plan[name] = values[name].split(',').map((text) => positive(name, text))
plan.rates.sort((a, b) => a - b)
for (const name of ['rounds', 'seconds']) plan[name] = positive(name, values[name])
for (const name of plan.stores)
  if (!['pg', 'redis'].includes(findStore(name)?.server)) throw new Error(`--stores: no store of PostgreSQL or Redis: ${name}`)
for (const op of plan.ops) if (!['get', 'mix'].includes(op)) throw new Error(`--ops: get or mix, not ${op}`)

const servers = await startServers(new Set(plan.stores.map((name) => findStore(name).server)))
try {
  for (const name of plan.stores) {
    const store = findStore(name)
    const why = store.missing?.() ?? servers[store.server].missing
    if (why) throw new Error(`${name}: ${why}`)
  }
  const result = { ...describeMachine(servers, plan), plan, roundTrips: [], arrivals: [], results: [], highest: [] }
  const { cores, cpu } = result.machine
  console.log(`${cores} cores ${cpu}, shared by the servers, ${plan.processes} Node processes and the proxy that makes the delay`)
  console.log('The proxy takes up to one of the cores, and its CPU is in no column.')
  for (const delayMs of plan.delays) await measureDelay(delayMs, result)
  writeFileSync(new URL(`./results/${values.name}.json`, import.meta.url), `${JSON.stringify(result, null, 1)}\n`)
  console.log(`Written: bench/results/${values.name}.json`)
} finally {
  await servers.stop()
}

async function measureDelay(delayMs, { roundTrips, arrivals, results, highest }) {
  const proxy = startChild('./delay/proxy.mjs')
  const urls = {}
  for (const kind of new Set(plan.stores.map((name) => findStore(name).server))) {
    const url = new URL(servers[kind].url)
    const port = await proxy.ask('listen', { host: url.hostname, port: Number(url.port), delayMs: delayMs / 2 })
    url.host = `127.0.0.1:${port}`
    urls[kind] = url.href
    const trip = { delayMs, server: kind, direct: await roundTrip(kind, servers[kind].url), delayed: await roundTrip(kind, url.href) }
    roundTrips.push(trip)
    const text = ({ p50, p99 }) => `${p50.toFixed(2)} ms (p99 ${p99.toFixed(2)})`
    console.log(`${delayMs} ms ${kind}: round trip ${text(trip.direct)} without the proxy, ${text(trip.delayed)} with it`)
  }
  const opened = []
  for (const name of plan.stores) opened.push(await open(name, urls[findStore(name).server]))
  for (const rate of new Set([plan.rates[0], plan.rates.at(-1)])) {
    const { nodeUs, p50, p99 } = await measure(opened[0], { op: 'nothing', rate, seed: 1 })
    arrivals.push({ delayMs, rate, nodeUs, p50, p99 })
    const wait = `p50 ${p50.toFixed(2)}, p99 ${p99.toFixed(2)} ms`
    console.log(`a call that does nothing, ${rate}/s: ${wait}, ${nodeUs.toFixed(0)} µs of Node, which are in the figures of each store too`)
  }
  for (const op of plan.ops) {
    for (const { workers } of opened) await ask(workers, 'warmUp', { op })
    const mine = await climb(opened, { delayMs, op })
    results.push(...mine)
    console.log(`\n${op}, a delay of ${delayMs} ms`)
    highest.push({ delayMs, op, rates: printTable(mine, plan.stores, plan.rates) })
  }
  await Promise.all(opened.flatMap(({ workers }) => workers).map((worker) => worker.stop()))
  await proxy.stop()
}

/** From rate to rate, in turns; without the stores that kept up with the last one in no round. */
async function climb(opened, { delayMs, op }) {
  const results = []
  let climbing = opened
  for (const rate of plan.rates) {
    const keepUp = new Set()
    for (let round = 0; round < plan.rounds; round++) {
      for (let turn = 0; turn < climbing.length; turn++) {
        const store = climbing[(turn + round) % climbing.length]
        const result = { store: store.name, delayMs, op, rate, round, ...(await measure(store, { op, rate, seed: round + 10 })) }
        results.push(result)
        if (result.inTime >= enoughInTime) keepUp.add(store)
        if (result.errors > 0) console.log(`${store.name}, ${op} ${rate}/s: ${result.errors} errors, the first: ${result.error}`)
      }
    }
    climbing = climbing.filter((store) => keepUp.has(store))
  }
  return results
}

/** All open before the first fills: each begins by dropping the table. */
async function open(name, url) {
  const workers = Array.from({ length: plan.processes }, () => startChild('./delay/worker.mjs'))
  const context = { url, directory: servers.directory, options: { touchAfterMs: 0 } }
  for (const worker of workers) await worker.ask('open', { store: name, context })
  await workers.at(-1).ask('fill', plan)
  await ask(workers, 'prepare', plan)
  return { name, server: servers[findStore(name).server], workers }
}

/** Of all workers at once, each with a seed of its own. */
function ask(workers, command, input) {
  return Promise.all(workers.map((worker, index) => worker.ask(command, { ...input, seed: (input.seed ?? 0) * 10 + index + 1 })))
}

async function measure({ server, workers }, { op, rate, seed }) {
  const before = server.cpuMs()
  const parts = await ask(workers, 'measure', { op, rate: rate / workers.length, seconds: plan.seconds, seed })
  return summarizeRound(parts, plan.seconds, before === null ? null : server.cpuMs() - before)
}

/** Milliseconds of the least that the server can be asked, one after the other. */
async function roundTrip(kind, url) {
  const client = kind === 'pg' ? new pg.Client({ connectionString: url }) : createClient({ url })
  await client.connect()
  const times = []
  for (let index = 0; index < 300; index++) {
    const from = performance.now()
    await (kind === 'pg' ? client.query('SELECT 1') : client.ping())
    times.push(performance.now() - from)
  }
  await (kind === 'pg' ? client.end() : client.close())
  times.splice(0, 100)
  times.sort((a, b) => a - b)
  return { p50: quantile(times, 0.5), p99: quantile(times, 0.99) }
}

function positive(name, text) {
  if (!(Number(text) > 0)) throw new Error(`--${name}: a number above 0, not ${text}`)
  return Number(text)
}
