import { makeBench, measure, warmUp, warmUpOnce } from '../measure.mjs'
import { fill, userAt } from './fill.mjs'
import { idsOf } from './ids.mjs'
import { sizesOf } from './sizes.mjs'

const callers = [1, 64]
/** `get+set` is a session that was loaded, changed and saved; each touch writes. */
const ops = ['get', 'touch', 'get+set', 'ofOwner']

/** What a call costs on a small table and on a large one, in turns, and how large both are. */
export async function measureCalls(plan, { open, server, kind, log, save }) {
  const tables = []
  for (const rows of [plan.smallRows, plan.rows]) {
    const tableName = `bench_growing_${rows}`
    const opened = await open(tableName)
    await fill(opened, kind, { tableName, rows, bytes: plan.bytes, log })
    await server?.settle()
    const bench = makeBench(opened.store, idsOf(rows), plan.bytes, ownersOf(opened.store, rows))
    tables.push({ rows, opened, bench, sizes: await sizesOf(opened, kind, tableName) })
  }
  const cells = await measureCells(plan, tables, server, log)
  const sizes = tables.map(({ rows, sizes }) => ({ rows, ...sizes, bytesARow: sizes.total / rows }))
  for (const { opened } of tables) await opened.close()
  save({ sizes, cells })
}

/** What each operation costs on each of the tables, alone and many at once. */
export async function measureCells(plan, tables, server, log) {
  const cells = []
  for (const op of ops) {
    for (const count of callers) {
      const cell = await measureCell(plan, tables, { op, callers: count, seconds: plan.seconds }, server)
      log(describeCell(cell))
      cells.push(cell)
    }
  }
  return cells
}

/** The operation `ofOwner` for `makeBench`. */
export function ownersOf(store, rows) {
  return {
    async ofOwner() {
      const found = await store.ofOwner(userAt(Math.floor(Math.random() * rows), rows))
      if (found.length === 0) throw new Error('an owner without sessions')
    }
  }
}

function describeCell({ op, callers, cpu, cpuRatio, timeRatio }) {
  const costs = cpu.map((us) => us.toFixed(1)).join(' → ')
  return `${op}, ${callers} at once: CPU ${costs} µs a call, ${cpuRatio.toFixed(2)} times; time ${timeRatio.toFixed(2)} times`
}

/** Measures one operation on two tables, in turns; the ratios are those of the second to the first. */
async function measureCell(plan, tables, cell, server) {
  const sums = tables.map(() => ({ operations: 0, node: 0, server: 0, times: [] }))
  for (const { bench } of tables) await warmUpOnce(bench, { ...cell, seconds: plan.warmUpSeconds })
  for (let round = 0; round < plan.rounds; round++) {
    const order = tables.map((_, index) => (index + round) % tables.length)
    for (const index of order) {
      await warmUp(tables[index].bench, cell)
      const before = server?.cpuMs() ?? 0
      const { operations, nodeCpu, perSecond } = await measure(tables[index].bench, cell)
      const sum = sums[index]
      sum.server += ((server?.cpuMs() ?? 0) - before) * 1000
      sum.operations += operations
      sum.node += nodeCpu * operations
      sum.times.push(1e6 / perSecond)
    }
  }
  const nodeCpu = sums.map(({ node, operations }) => node / operations)
  const serverCpu = sums.map(({ server, operations }) => server / operations)
  const cpu = sums.map((_, index) => nodeCpu[index] + serverCpu[index])
  const time = sums.map(({ times }) => median(times))
  return {
    ...cell,
    rows: tables.map(({ rows }) => rows),
    nodeCpu,
    serverCpu,
    cpu,
    cpuRatio: cpu[1] / cpu[0],
    time,
    timeRatio: time[1] / time[0]
  }
}

function median(values) {
  return values.toSorted((a, b) => a - b)[values.length >> 1]
}
