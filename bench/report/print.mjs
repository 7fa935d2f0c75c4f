import { findStore } from '../stores/index.mjs'
import { ratios, referenceNames } from './summary.mjs'
import { count, micros, ms, table, times } from './table.mjs'

const short = {
  'connect-pg-simple': '×pg-simple',
  'connect-redis': '×redis',
  'connect-session-knex': '×session-knex',
  'better-sqlite3-session-store': '×bs3-store'
}

export function printHeader({ machine, node, servers, date, commit }) {
  const lines = [
    `${date}${commit ? `, commit ${commit}` : ''}, Node ${node}`,
    `${machine.cores} cores ${machine.cpu}, ${machine.memoryGiB} GiB, ${machine.os}; fsync ${machine.fsyncMs} ms, ${machine.disk}`,
    ...Object.values(servers)
  ]
  console.log(`${lines.join('\n')}\n`)
}

export function printCell(cell) {
  console.log(`\n${cell.op}, c=${cell.callers}, ${cell.payload} sessions, ${count(cell.rows)} rows`)
  const entries = Object.entries(cell.stores).map(([name, result]) => ({
    name,
    result,
    ratios: ratios(cell.stores, name, findStore(name).server)
  }))
  const compared = referenceNames.filter((key) => entries.some((entry) => entry.ratios[key]))
  const rows = entries.map(({ name, result, ratios }) => [name, ...numbers(result), ...compared.map((key) => times(ratios[key]))])
  console.log(table(['store', 'a second', ...numberTitles, ...compared.map((key) => short[key])], rows))
}

export function printHttp({ connections, apps }) {
  console.log(`\nExpress over HTTP, signed-in page views, ${connections} connections`)
  const rows = Object.entries(apps).map(([name, result]) => [
    name,
    ...numbers(result),
    result.statements === null ? '–' : result.statements.toFixed(3)
  ])
  console.log(table(['application', 'requests/s', ...numberTitles, 'statements'], rows))
}

const numberTitles = ['min–max', 'p50 ms', 'p99 ms', 'Node µs', 'server µs']

function numbers({ perSecond, p50, p99, nodeCpu, serverCpu }) {
  return [
    count(perSecond.median),
    `${count(perSecond.min)}–${count(perSecond.max)}`,
    ms(p50.median),
    ms(p99.median),
    micros(nodeCpu.median),
    micros(serverCpu)
  ]
}
