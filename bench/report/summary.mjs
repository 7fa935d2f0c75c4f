/** The stores that others are measured against: the key of a ratio, and the store's name for a store on `server`. */
const references = {
  'connect-pg-simple': (server) => (server === 'pg' || server === 'redis' ? 'connect-pg-simple' : undefined),
  'connect-redis': (server) => (server === 'pg' || server === 'mysql' ? 'connect-redis' : undefined),
  'connect-session-knex': (server) => `connect-session-knex-${server}`,
  'better-sqlite3-session-store': (server) => (server === 'sqlite' ? 'better-sqlite3-session-store' : undefined)
}

export const referenceNames = Object.keys(references)

/** Median, least and most of each number over the rounds; CPU over all rounds together, for the server's clock ticks are coarse. */
export function summarize(rounds) {
  const operations = sum(rounds, 'operations')
  const serverCpu = rounds.some((round) => round.serverCpuMs === null) ? null : (sum(rounds, 'serverCpuMs') * 1000) / operations
  return {
    perSecond: spread(rounds.map((round) => round.perSecond)),
    p50: spread(rounds.map((round) => round.p50)),
    p99: spread(rounds.map((round) => round.p99)),
    nodeCpu: spread(rounds.map((round) => round.nodeCpu)),
    serverCpu: serverCpu === null ? null : round(serverCpu),
    rounds: rounds.map((entry) => round(entry.perSecond))
  }
}

/**
 * How many times as fast `name` is as each reference on its own server: the median of the ratios round by round, for what disturbs a
 * round disturbs both. `stores` is a cell's.
 */
export function ratios(stores, name, server) {
  const own = stores[name].rounds
  const entries = Object.entries(references).flatMap(([key, find]) => {
    const other = stores[find(server)]
    if (!other || find(server) === name) return []
    return [[key, spread(own.map((value, index) => value / other.rounds[index]))]]
  })
  return Object.fromEntries(entries)
}

export function spread(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const median = sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  return { median: round(median), min: round(sorted[0]), max: round(sorted.at(-1)) }
}

function sum(rounds, field) {
  return rounds.reduce((total, entry) => total + entry[field], 0)
}

/** Four significant digits: more would only be noise in the files that are compared. */
function round(value) {
  return Number(value.toPrecision(4))
}
