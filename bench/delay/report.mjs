import { quantile } from '../measure.mjs'
import { micros, ms, table } from '../report/table.mjs'

/** A call that waits longer is late; a store with more than one of twenty late has reached its end. */
export const lateMs = 100
export const enoughInTime = 0.95
const goodP99 = 20

/** What four processes measured in one round. A failed call counts as not in time. */
export function summarizeRound(parts, seconds, serverMs) {
  const sum = (name) => parts.reduce((total, part) => total + part[name], 0)
  const waits = parts.flatMap((part) => part.waits).sort((a, b) => a - b)
  const calls = waits.length + sum('errors')
  const each = (spent) => (spent === null || calls === 0 ? null : (spent * 1000) / calls)
  return {
    calls,
    errors: sum('errors'),
    error: parts.find((part) => part.error)?.error,
    served: sum('answered') / seconds,
    inTime: waits.filter((wait) => wait <= lateMs).length / Math.max(calls, 1),
    p50: quantile(waits, 0.5),
    p99: quantile(waits, 0.99),
    p999: quantile(waits, 0.999),
    nodeUs: each(sum('cpuMs')),
    serverUs: each(serverMs)
  }
}

/** Rounds of one delay and operation; a ratio is to the first store, at the same rate. */
export function printTable(results, stores, rates) {
  const cell = (store, rate) => median(results.filter((result) => result.store === store && result.rate === rate))
  const rows = []
  for (const rate of rates) {
    const first = cell(stores[0], rate)
    for (const store of stores) {
      const it = cell(store, rate)
      if (!it) continue
      const ratio = (name) => (first?.[name] && it[name] ? `${(it[name] / first[name]).toFixed(2)}×` : '–')
      const texts = [Math.round(it.served), ms(it.p50), ms(it.p99), ms(it.p999), `${(it.inTime * 100).toFixed(1)} %`, it.errors].map(String)
      rows.push([store, String(rate), ...texts, micros(it.nodeUs), micros(it.serverUs), ...['p50', 'p99', 'nodeUs', 'serverUs'].map(ratio)])
    }
  }
  const head = 'store,rate,served/s,p50 ms,p99 ms,p99.9 ms,in time,errors,Node µs,server µs,× p50,× p99,× Node,× server'.split(',')
  console.log(table(head, rows))
  const best = stores.map((store) => rates.filter((rate) => isGood(cell(store, rate))).at(-1) ?? 0)
  const texts = stores.map((store, index) => `${store} ${best[index]}${best[0] ? ` (${(best[index] / best[0]).toFixed(2)}×)` : ''}`)
  console.log(`highest rate with p99 under ${goodP99} ms: ${texts.join(', ')}\n`)
  return Object.fromEntries(stores.map((store, index) => [store, best[index]]))
}

const isGood = (cell) => cell && cell.p99 < goodP99 && cell.errors === 0 && cell.inTime >= enoughInTime

/** Of each figure by itself; errors are those of all rounds. */
function median(rounds) {
  if (rounds.length === 0) return undefined
  const of = (name) => {
    const sorted = rounds.map((round) => round[name]).sort((a, b) => a - b)
    return sorted[0] === null ? null : (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2
  }
  const names = ['served', 'inTime', 'p50', 'p99', 'p999', 'nodeUs', 'serverUs']
  return { ...Object.fromEntries(names.map((name) => [name, of(name)])), errors: rounds.reduce((sum, { errors }) => sum + errors, 0) }
}
