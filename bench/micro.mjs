import { inTwos, startChild } from './child.mjs'
import { summarize } from './report/summary.mjs'

/** The closed-loop bench: every cell (dataset, operation, callers) on every store, in interleaved rounds whose order rotates. */
export async function runMicro(plan, stores, servers, { progress }) {
  const cells = []
  for (const dataset of plan.datasets) {
    const able = dataset.rows > 100_000 ? stores.filter((store) => store.fills) : stores
    const workers = []
    try {
      progress(`${dataset.payload}, ${dataset.rows} rows into each store`)
      const startedWorkers = able.map(startWorker)
      workers.push(...startedWorkers)
      // Two at a time: filling a table waits for the disk as much as it computes.
      await inTwos(startedWorkers, async (worker) => {
        const failure = await openStore(worker, dataset, servers)
        if (!failure) return
        progress('')
        console.log(`left out: ${worker.store.name} (${failure})`)
        workers.splice(workers.indexOf(worker), 1)
        await worker.child.stop()
      })
      for (const kind of ['pg', 'mysql', 'redis']) await servers[kind]?.settle?.()
      for (const op of dataset.ops) {
        for (const callers of dataset.callers) {
          progress(`${op}, c=${callers}, ${dataset.payload}, ${dataset.rows} rows`)
          cells.push(await runCell({ op, callers, payload: dataset.payload, rows: dataset.rows }, workers, servers, plan))
        }
      }
      for (const worker of workers) await worker.child.ask('close')
    } finally {
      await Promise.all(workers.map((worker) => worker.child.stop()))
    }
  }
  return cells
}

function startWorker(store) {
  const child = startChild('./worker.mjs', { args: [store.name], execArgv: ['--expose-gc', '--max-old-space-size=4096'] })
  return { store, child }
}

/** Answers why the store could not be opened and filled, in a line; undefined when it could. */
async function openStore({ store, child }, { payload, rows }, servers) {
  const context = { url: servers[store.server]?.url, directory: servers.directory, options: { touchAfterMs: 0 } }
  return child.ask('open', { store: store.name, context, payload, rows }).then(
    () => undefined,
    (error) => error.message.split('\n')[0]
  )
}

async function runCell(cell, workers, servers, { rounds, seconds, warmUpSeconds }) {
  const { op, callers } = cell
  for (const { child } of workers) await child.ask('warmUpOnce', { op, callers, seconds: warmUpSeconds })
  const samples = new Map(workers.map(({ store }) => [store.name, []]))
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < workers.length; turn++) {
      const { store, child } = workers[(turn + round) % workers.length]
      const server = servers[store.server]
      await child.ask('warmUp', { op, callers, seconds })
      const before = server?.cpuMs?.() ?? null
      const sample = await child.ask('measure', { op, callers, seconds })
      const after = server?.cpuMs?.() ?? null
      samples.get(store.name).push({ ...sample, serverCpuMs: before === null || after === null ? null : after - before })
    }
  }
  return { ...cell, stores: Object.fromEntries([...samples].map(([name, rounds]) => [name, summarize(rounds)])) }
}
