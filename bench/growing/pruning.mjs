import { quantile } from '../measure.mjs'
import { OpenLoop } from '../open-loop.mjs'
import { sessionId } from '../session.mjs'
import { fill } from './fill.mjs'

/** One row of so many is alive. */
const liveEvery = 11
const getsASecond = 200

/** How long a get takes while many rows are pruned by the same process, and without pruning. */
export async function measurePruning(plan, { open, server, kind, log, save, tableName = 'bench_growing_prune' }) {
  const opened = await open(tableName)
  const rows = Math.ceil((plan.prunedRows * liveEvery) / (liveEvery - 1))
  await fill(opened, kind, { tableName, rows, bytes: plan.bytes, liveEvery, log })
  await server?.settle()
  const gets = { during: (work) => getsDuring(opened.store, Math.floor(rows / liveEvery), work) }
  await gets.during(() => pause(3000))
  const calm = await gets.during(() => pause(plan.calmSeconds * 1000))
  let seconds
  let pruned
  const pruning = await gets.during(async () => {
    const from = performance.now()
    pruned = await opened.store.prune()
    seconds = (performance.now() - from) / 1000
  })
  await opened.close()
  log(
    `pruned ${pruned} rows in ${seconds.toFixed(1)} s; longest get ${pruning.longest.toFixed(1)} ms, without pruning ${calm.longest.toFixed(1)} ms`
  )
  save({ rows, pruned, seconds, rowsASecond: pruned / seconds, getsASecond, calm, pruning })
}

async function getsDuring(store, live, work) {
  const get = async () => {
    const session = await store.get(sessionId(Math.floor(Math.random() * live) * liveEvery))
    if (!session) throw new Error('a live session was not found')
  }
  const { waits, errors } = await new OpenLoop(get, { rate: getsASecond }).during(work)
  if (errors.length > 0) throw errors[0]
  const over50 = waits.filter((wait) => wait > 50).length
  return { gets: waits.length, p50: quantile(waits, 0.5), p99: quantile(waits, 0.99), longest: waits.at(-1), over50 }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
