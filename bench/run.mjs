import { mkdirSync, statfsSync, writeFileSync } from 'node:fs'
import { freemem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { runHttp } from './http/run.mjs'
import { describeMachine } from './machine.mjs'
import { runMicro } from './micro.mjs'
import { readPlan, usage } from './plan.mjs'
import { drawCharts } from './report/chart.mjs'
import { printGoals } from './report/goals.mjs'
import { printCell, printHeader, printHttp } from './report/print.mjs'
import { startServers } from './servers/index.mjs'
import { allStores } from './stores/index.mjs'

const plan = readPlan(process.argv.slice(2))
if (plan.help) console.log(usage)
else await main()

async function main() {
  const wanted = allStores.filter((store) => plan.isChosen(store.name))
  if (wanted.length === 0) throw new Error(`--stores: none of ${allStores.map((store) => store.name).join(', ')}`)
  const servers = await startServers(new Set(wanted.map((store) => store.server)))
  try {
    const stores = wanted.filter((store) => isPossible(store, servers))
    checkRoom(servers)
    const result = describeMachine(servers, plan)
    printHeader(result)
    const hooks = { progress }
    result.micro = plan.micro ? await runMicro(plan, stores, servers, hooks) : []
    if (plan.http) result.http = await runHttp(plan, stores, servers, hooks)
    report(result)
  } finally {
    await servers.stop()
  }
}

function isPossible(store, servers) {
  const why = store.missing?.() ?? servers[store.server]?.missing
  if (why) console.log(`left out: ${store.name} (${why.split('\n')[0]})`)
  return !why
}

/** A million rows of 2 KB in each store: where there is no room, that part is left out. */
function checkRoom(servers) {
  const { bavail, bsize } = statfsSync(servers.directory)
  if (bavail * bsize > 25e9 && freemem() > 6e9) return
  const before = plan.datasets.length
  plan.datasets = plan.datasets.filter(({ rows }) => rows < 1_000_000)
  if (plan.datasets.length < before) console.log('left out: 1,000,000 rows (needs 25 GB of free disk and 6 GB of free memory)')
}

function report(result) {
  progress('')
  for (const cell of result.micro) printCell(cell)
  if (result.http) printHttp(result.http)
  printGoals(result)
  const folder = fileURLToPath(new URL('./results/', import.meta.url))
  mkdirSync(folder, { recursive: true })
  writeFileSync(`${folder}${plan.name}.json`, `${JSON.stringify(result, null, 1)}\n`)
  const charts = drawCharts(result, folder, plan.name.startsWith('local-') ? plan.name : 'chart')
  console.log(`\nWritten: bench/results/${[`${plan.name}.json`, ...charts].join(', ')}`)
}

/** One line that is written over, on a terminal; nothing elsewhere. */
function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001B[K${text}`)
}
