// node bench/compare.mjs a.json b.json: two machines' runs side by side, or one machine's before and after.
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { ratios, referenceNames } from './report/summary.mjs'
import { count, micros, table } from './report/table.mjs'
import { findStore } from './stores/index.mjs'

const files = process.argv.slice(2)
if (files.length !== 2) {
  console.error('node bench/compare.mjs a.json b.json')
  process.exitCode = 1
} else {
  const [a, b] = files.map((file) => JSON.parse(readFileSync(file, 'utf8')))
  printMachines(a, b)
  for (const cell of a.micro)
    printCells(
      cell,
      b.micro.find((other) => sameCell(cell, other))
    )
  if (a.http && b.http) printHttp(a.http, b.http)
}

function printMachines(a, b) {
  const facts = ({ machine, node, servers, packages, date, commit }) => ({
    date,
    commit: commit ?? '–',
    cpu: `${machine.cores} × ${machine.cpu}`,
    memory: `${machine.memoryGiB} GiB`,
    os: machine.os,
    fsync: `${machine.fsyncMs} ms, ${machine.disk}`,
    node,
    ...named('server', servers),
    ...named('package', packages)
  })
  const [left, right] = [facts(a), facts(b)]
  const names = [...new Set([...Object.keys(left), ...Object.keys(right)])]
  const rows = names.map((name) => [name, left[name] ?? '–', right[name] ?? '–', left[name] === right[name] ? '' : '≠'])
  console.log(table(['', basename(files[0]), basename(files[1]), ''], rows))
}

function named(kind, entries) {
  return Object.fromEntries(Object.entries(entries).map(([name, value]) => [`${kind} ${name}`, value]))
}

function sameCell(a, b) {
  return a.op === b.op && a.callers === b.callers && a.payload === b.payload && a.rows === b.rows
}

/** Operations a second say what the machines are; the ratios, each within its own run, say what the stores are. */
function printCells(a, b) {
  if (!b) return
  const names = Object.keys(a.stores).filter((name) => b.stores[name])
  const rows = names.map((name) => {
    const { server } = findStore(name) ?? {}
    const [left, right] = [a, b].map((cell) => ratios(cell.stores, name, server))
    const compared = referenceNames
      .filter((key) => left[key] && right[key])
      .map((key) => `${key} ${left[key].median.toFixed(2)}× | ${right[key].median.toFixed(2)}×`)
    return [name, ...pair(a.stores[name], b.stores[name]), compared.join(', ')]
  })
  console.log(`\n${a.op}, c=${a.callers}, ${a.payload} sessions, ${count(a.rows)} rows`)
  console.log(table(['store', 'a second', 'a second', 'second/first', 'times as fast as (first | second)'], rows))
}

function printHttp(a, b) {
  const names = Object.keys(a.apps).filter((name) => b.apps[name])
  const rows = names.map((name) => {
    const [left, right] = [a.apps[name], b.apps[name]]
    const both = (read) => `${read(left)} | ${read(right)}`
    return [
      name,
      ...pair(left, right),
      both((app) => app.p99.median),
      both((app) => micros(app.nodeCpu.median)),
      both((app) => micros(app.serverCpu)),
      both((app) => app.statements ?? '–')
    ]
  })
  console.log('\nExpress over HTTP, signed-in page views')
  console.log(table(['application', 'requests/s', 'requests/s', 'second/first', 'p99 ms', 'Node µs', 'server µs', 'statements'], rows))
}

function pair(left, right) {
  const ratio = right.perSecond.median / left.perSecond.median
  return [count(left.perSecond.median), count(right.perSecond.median), ratio.toFixed(2)]
}
