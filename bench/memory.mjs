// Is memory flat? node --expose-gc bench/memory.mjs [--store=ours-pg] [--operations=5000000] [--c=64]
// A day of a site in one go: page views with and without a change, logins, visits to sessions that are not there.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { makeBench, makeCaller, operations, preload } from './measure.mjs'
import { count, table } from './report/table.mjs'
import { startServers } from './servers/index.mjs'
import { payloads, sessionId } from './session.mjs'
import { findStore } from './stores/index.mjs'

const { values } = parseArgs({
  options: {
    store: { type: 'string', default: 'ours-pg' },
    operations: { type: 'string', default: '5000000' },
    c: { type: 'string', default: '64' }
  }
})

// Of 32 visits: what each does, and how many operations of the store that is.
const mix = [
  ...Array(12).fill(['get', 1]),
  ...Array(12).fill(['get+touch', 2]),
  ...Array(4).fill(['get+set', 2]),
  ['set', 1],
  ['login', 3],
  ['miss', 1],
  ['miss', 1]
]

// So that it need not be remembered.
if (globalThis.gc) await main()
else {
  const { status } = spawnSync(process.execPath, ['--expose-gc', fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: 'inherit'
  })
  process.exitCode = status
}

async function main() {
  const store = findStore(values.store)
  const servers = await startServers(new Set([store.server]))
  try {
    const missing = store.missing?.() ?? servers[store.server]?.missing
    if (missing) throw new Error(missing)
    const opened = await store.open({ url: servers[store.server]?.url, directory: servers.directory, options: { touchAfterMs: 0 } })
    const ids = Array.from({ length: 10_000 }, (_, index) => sessionId(index))
    await preload(opened.store, ids, payloads['2KB'])
    await run(makeBench(opened.store, ids, payloads['2KB']), Number(values.operations))
    await opened.close()
  } finally {
    await servers.stop()
  }
}

async function run(bench, total) {
  const step = Math.max(1, Math.round(total / 10))
  const readings = [await reading(0)]
  for (let done = 0; done < total; done += step) {
    await runStep(bench, Math.min(step, total - done))
    readings.push(await reading(Math.min(total, done + step)))
    const { operations, heapMb, rssMb } = readings.at(-1)
    console.error(`${count(operations)} operations: heap ${heapMb.toFixed(1)} MB, rss ${rssMb.toFixed(1)} MB`)
  }
  const rows = readings.map(({ operations, heapMb, rssMb }) => [count(operations), heapMb.toFixed(2), rssMb.toFixed(1)])
  console.log(table(['operations', 'heap used MB', 'rss MB'], rows))
  // The first tenth still compiles and fills caches.
  const [first, last] = [readings[1], readings.at(-1)]
  const growth = (last.heapMb - first.heapMb) * 2 ** 20
  console.log(
    `\nheap since the first tenth: ${(growth / 2 ** 20).toFixed(2)} MB, ${(growth / (last.operations - first.operations)).toFixed(3)} bytes an operation`
  )
}

/** `count` operations of the store: a mix's parts are counted one by one. */
async function runStep(bench, count) {
  let left = count
  await Promise.all(
    Array.from({ length: Number(values.c) }, async (_, index) => {
      const caller = makeCaller(bench.bytes, index)
      for (let turn = index; left > 0; turn++) {
        const [op, cost] = mix[turn % mix.length]
        left -= cost
        if (op === 'miss') await miss(bench, turn)
        else await operations[op](bench, caller)
      }
    })
  )
}

function miss(bench, turn) {
  return new Promise((resolve, reject) => {
    bench.store.get(`nobody-${turn}-${Math.random()}`, (error, data) =>
      error || data ? reject(error ?? new Error('found nobody')) : resolve()
    )
  })
}

async function reading(operations) {
  // Twice, with a turn between: what a finalizer lets go is collected too.
  globalThis.gc()
  await new Promise((resolve) => setImmediate(resolve))
  globalThis.gc()
  const { heapUsed, rss } = process.memoryUsage()
  return { operations, heapMb: heapUsed / 2 ** 20, rssMb: rss / 2 ** 20 }
}
