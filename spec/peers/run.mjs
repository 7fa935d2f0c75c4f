// Runs the races on our store and on its peers, and prints a table.
//   npm run peers -- [--rounds=100] [--only=connect-redis] [--write]
//   npm run peers -- --from=spec/peers/results.json [--write]   the tables of an earlier run
//   npm run peers -- --from=… --parts=contract,races [--only=…] [--write]   the same, with these parts measured anew
// PostgreSQL, MariaDB and Redis are those of TEST_PG_URL, TEST_MYSQL_URL and TEST_REDIS_URL, or on this machine's usual ports.
import { readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import '../races/resolve-mts.mjs'

const { entries } = await import('./contenders.mts')
const { contract, frozen, outages, races } = await import('./measurements.mts')
const { fullTable, shortTable } = await import('./tables.mts')

const { values: given } = parseArgs({
  options: {
    rounds: { type: 'string', default: '100' },
    only: { type: 'string', default: '' },
    from: { type: 'string' },
    parts: { type: 'string' },
    write: { type: 'boolean', default: false }
  }
})
const began = performance.now()
const results = given.from
  ? JSON.parse(await readFile(given.from, 'utf8'))
  : { columns: entries.filter(isChosen).map((entry) => ({ ...entry, cells: {} })) }
if (!given.from || given.parts) await measure(results, Number(given.rounds), given.parts?.split(','))
console.log(`${shortTable(results.columns)}\n\n${fullTable(results.columns)}`)
if (given.write) await write(results)
// What a peer has left open must not hold the run.
process.exit()

function isChosen({ store, database }) {
  return `${store} ${database}`.includes(given.only)
}

/** Races one store after the other, so that none is slowed by another. What is mostly waiting, several at once. */
async function measure(results, rounds, parts = ['races', 'outages', 'frozen', 'contract']) {
  const columns = results.columns.filter(isChosen)
  const work = { races: (column) => races(column, rounds), outages, frozen, contract }
  const atOnce = { races: 1, outages: 2, frozen: 4, contract: 3 }
  for (const part of parts) await measureEach(columns, atOnce[part], part, work[part])
  Object.assign(results, { measuredAt: new Date().toISOString(), node: process.version, versions: versions() })
  if (parts.includes('races')) results.rounds = rounds
}

/** Measures every store whose measurements have not failed so far, `atOnce` at a time. */
async function measureEach(columns, atOnce, what, work) {
  const waiting = columns.filter(({ reason }) => !reason)
  const next = async () => {
    for (let column = waiting.shift(); column; column = waiting.shift()) {
      try {
        Object.assign(column.cells, await work(column))
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
  }
  await Promise.all(Array.from({ length: atOnce }, next))
}

/** Past the exports of the packages, which hide their package.json. */
function versions() {
  const require = createRequire(import.meta.url)
  const stores = entries.map(({ store }) => store).filter((store) => store !== 'MemoryStore' && store !== 'knex-session-store')
  const names = new Set(['knex', 'express', 'express-session', 'fastify', '@fastify/session', ...stores])
  const versionOf = (name) => require(join(import.meta.dirname, '../../node_modules', name, 'package.json')).version
  return Object.fromEntries([...names].map((name) => [name, versionOf(name)]))
}

async function write(results) {
  const { rounds, node, versions, columns, measuredAt } = results
  const used = Object.entries(versions).map(([name, version]) => `${name} ${version}`)
  const file = join(import.meta.dirname, 'results.json')
  await writeFile(file, `${JSON.stringify(results, null, 2)}\n`)
  await writeFile(
    join(import.meta.dirname, 'RESULTS.md'),
    `# Races, outages and the contract: this store and its peers

Written by \`npm run peers -- --write\`: ${rounds} rounds of each race, ${measuredAt.slice(0, 10)}, Node ${node}, ${used.join(', ')}. Each store as its README shows it, in two processes with Express 5 (and one row with Fastify), over HTTP. What is bad is bold. A dash: there is no such thing there.

## Each store

Rounds are added up over the databases of the store; of what becomes of a process, the worst is shown.

${shortTable(columns)}

## Each store and database

${fullTable(columns)}
`
  )
}
