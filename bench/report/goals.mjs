import { findStore } from '../stores/index.mjs'
import { ratios } from './summary.mjs'
import { table } from './table.mjs'

// What the project has promised itself, on 2 KB sessions and 10k rows: at least this many times as fast.
const goals = [
  ...[64, 256].flatMap((callers) => [
    goal('ours-pg', callers, 'connect-pg-simple', { get: 3, touch: 6.5, set: 3.2 }),
    goal('ours-pg', callers, 'connect-redis', { get: 1.1, touch: 0.95, set: 0.7 }),
    goal('ours-pg', callers, 'connect-session-knex', { get: 4, touch: 8, set: 4 })
  ]),
  goal('ours-pg', 1, 'connect-pg-simple', { get: 1.2, touch: 1.2, set: 1.15 }),
  goal('ours-mysql', 64, 'connect-session-knex', { get: 3, touch: 5, set: 3 }),
  ...[1, 64].map((callers) => goal('ours-sqlite', callers, 'better-sqlite3-session-store', { get: 1.5, touch: 1.1, set: 2.5 }))
].flat()

function goal(store, callers, against, least) {
  return Object.entries(least).map(([op, atLeast]) => ({ store, callers, against, op, atLeast }))
}

/** Prints each goal that this run has measured. */
export function printGoals({ micro, http }) {
  const rows = [...microGoals(micro), ...(http ? httpGoals(http.apps) : [])]
  if (rows.length > 0) console.log(`\n${table(['goal', 'wanted', 'reached', ''], rows)}`)
}

function microGoals(cells) {
  return goals.flatMap(({ store, callers, against, op, atLeast }) => {
    const cell = cells.find((one) => one.op === op && one.callers === callers && one.payload === '2KB' && one.rows === 10_000)
    if (!cell?.stores[store]) return []
    const reached = ratios(cell.stores, store, findStore(store).server)[against]
    return reached ? [row(`${store} ${op} c=${callers} / ${against}`, `≥ ${atLeast}`, reached.median, reached.median >= atLeast)] : []
  })
}

/** Page views: more of them, none slower, at less cost to the database, with one statement at most. */
function httpGoals(apps) {
  const [ours, peer] = [apps['ours-pg'], apps['connect-pg-simple']]
  if (!ours || !peer) return []
  const name = (what) => `ours-pg over HTTP: ${what} / connect-pg-simple`
  const requests = ours.perSecond.median / peer.perSecond.median
  const p99 = ours.p99.median / peer.p99.median
  const rows = [row(name('requests a second'), '≥ 1.3', requests, requests >= 1.3), row(name('p99'), '< 1', p99, p99 < 1)]
  if (ours.serverCpu !== null && peer.serverCpu !== null) {
    const cpu = ours.serverCpu / peer.serverCpu
    rows.push(row(name('server CPU a request'), '≤ 0.4', cpu, cpu <= 0.4))
  }
  // A request under way when a round ends has sent its statement but is not counted: hence not exactly one.
  if (ours.statements !== null) rows.push(row('ours-pg over HTTP: statements a request', '≤ 1', ours.statements, ours.statements < 1.05))
  return rows
}

function row(name, wanted, reached, isReached) {
  return [name, wanted, reached.toFixed(2), isReached ? 'yes' : 'NO']
}
