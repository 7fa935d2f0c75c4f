// Runs the races on our store and on its peers, and prints a table: node spec/peers/run.mjs [--rounds=100] [--only=connect-redis] [--write]
import { writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import '../races/resolve-mts.mjs'

const { entries } = await import('./contenders.mts')
const { contract, frozen, outages, races } = await import('./measurements.mts')

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '100' },
    only: { type: 'string', default: '' },
    write: { type: 'boolean', default: false }
  }
})
const rounds = Number(values.rounds)
const chosen = entries.filter(({ store, database }) => `${store} ${database}`.includes(values.only))
const began = performance.now()
const columns = chosen.map((entry) => ({ ...entry, cells: {}, reason: undefined }))

// Races one store after the other, so that none is slowed by another. What is mostly waiting, several at once.
await each(1, 'races', (column) => races(column, rounds))
await each(2, 'outages', outages)
await each(4, 'frozen', frozen)
await each(3, 'contract', contract)

/** Measures every store whose measurements have not failed so far, `atOnce` at a time. */
async function each(atOnce, what, work) {
  const waiting = columns.filter(({ reason }) => !reason)
  const next = async () => {
    for (let column = waiting.shift(); column; column = waiting.shift()) await measure(column, what, () => work(column))
  }
  await Promise.all(Array.from({ length: atOnce }, next))
}

async function measure(column, what, work) {
  try {
    Object.assign(column.cells, await work())
  } catch (error) {
    column.reason =
      error.message
        .trim()
        .split('\n')
        .find((line) => /Error/.test(line)) ?? error.message
    console.error(`${column.store} on ${column.database}, ${what}: ${error.stack}`)
  }
  console.error(`${Math.round((performance.now() - began) / 1000)} s  ${column.store} on ${column.database}: ${what}`)
}

const require = createRequire(import.meta.url)
const versions = Object.fromEntries(
  ['knex', 'express', 'express-session', 'fastify', '@fastify/session', ...new Set(entries.map(({ store }) => store))]
    .filter((name) => name !== 'MemoryStore')
    .map((name) => [name, versionOf(name)])
)

/** Past the exports of the packages, which hide their package.json. */
function versionOf(name) {
  if (name === 'knex-session-store') return require('../../package.json').version
  return require(join(import.meta.dirname, '../../node_modules', name, 'package.json')).version
}

const table = markdown()
console.log(table)
console.error(`took ${Math.round((performance.now() - began) / 1000)} s`)
if (values.write) {
  const results = { measuredAt: new Date().toISOString(), node: process.version, rounds, versions, columns }
  await writeFile(join(import.meta.dirname, 'results.json'), `${JSON.stringify(results, null, 2)}\n`)
  await writeFile(join(import.meta.dirname, 'RESULTS.md'), `${table}\n`)
}
// What a peer has left open must not hold the run.
process.exit()

function markdown() {
  const names = { postgres: 'PostgreSQL', mysql: 'MariaDB', sqlite: 'SQLite', redis: 'Redis' }
  const measured = columns.filter(({ cells }) => Object.keys(cells).length > 0)
  const titles = [...new Set(measured.flatMap(({ cells }) => Object.keys(cells)))]
  const line = (cells) => `| ${cells.join(' | ')} |`
  const head = measured.map(({ store, database }) => (database === 'memory' ? store : `${store}, ${names[database]}`))
  const rows = titles.map((title) => {
    return line([title, ...measured.map(({ cells }) => (cells[title]?.bad ? `**${cells[title].text}**` : (cells[title]?.text ?? '?')))])
  })
  const left = columns
    .filter(({ reason }) => reason)
    .map(({ store, database, reason }) => `\n${store} on ${database} was not measured to the end: ${reason}`)
  return [line(['', ...head]), line(['---', ...head.map(() => '---')]), ...rows, ...left].join('\n')
}
