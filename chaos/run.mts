// Breaks something under a site with this store, and says what was lost: see docs/chaos.md, and --help.
import { conclude, readFlags, runCommand, UsageError } from './command.mts'
import { writeResult, writeTable } from './results.mts'
import { scenarios } from './scenarios/index.mts'
import { type Row, type Run, type Scenario, timesOf } from './scenarios/scenario.mts'
import { selfTest } from './self-test.mts'
import { type DatabaseName, STORES, type StoreName } from './stores.mts'
import { tableOf } from './table.mts'

const USAGE = `npm run chaos -- <scenario>… | --all | --list   breaks something under a site with this store, and says what was lost

  --list             the scenarios
  --self-test        stores that are broken on purpose have to be found out
  --database NAME    postgres, mysql or redis alone
  --store NAME       ${STORES.join(', ')}
  --options JSON     options of this store
  --seconds N        how long the fault lasts
  --visitors N       how many visitors there are at once (100)
  --at-once N        how many scenarios run at the same time (1)
  --check            writes no results, and does not mind how fast all is well again: for CI
  --json             the rows as JSON

docs/chaos.md says what each column means.`

const { values: given, positionals } = readFlags(USAGE, {
  allowPositionals: true,
  options: {
    all: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    check: { type: 'boolean', default: false },
    'at-once': { type: 'string', default: '1' },
    'self-test': { type: 'boolean', default: false },
    seconds: { type: 'string' },
    visitors: { type: 'string' },
    database: { type: 'string' },
    store: { type: 'string', default: 'knex-session-store' },
    options: { type: 'string', default: '{}' }
  }
})

let lastSaid = 0
await runCommand(USAGE, main)

async function main(): Promise<number> {
  if (given.list) {
    for (const { name, title, databases } of scenarios) console.log(`${name.padEnd(26)} ${title} (${databases.join(', ')})`)
    return 0
  }
  if (given['self-test']) return testItself()
  const chosen = given.all ? scenarios : positionals.map(scenarioNamed)
  if (chosen.length === 0) throw new UsageError('name a scenario, or --all, or --list')
  if (!STORES.includes(given.store as StoreName)) throw new UsageError(`--store is one of ${STORES.join(', ')}`)
  const waiting = chosen.flatMap((scenario) => scenario.databases.filter(isChosen).map((database) => ({ scenario, database })))
  const rows: Row[] = []
  let notRun = 0
  const next = async () => {
    for (let task = waiting.shift(); task; task = waiting.shift()) {
      const row = await runOne(task.scenario, task.database)
      if (row === undefined) {
        notRun++
        continue
      }
      rows.push(row)
      if (!given.check) await writeResult(row)
    }
  }
  await Promise.all(Array.from({ length: Number(given['at-once']) }, next))
  if (!given.check) await writeTable()
  console.log(given.json ? JSON.stringify(rows, null, 2) : tableOf(rows))
  return rows.length === 0 || notRun > 0 || rows.some(isFaulty) ? 1 : 0
}

/** Stores that are broken on purpose have to be found out. */
async function testItself(): Promise<number> {
  const complaints = await selfTest(scenarioNamed('calm'), (scenario) => runOne(scenario, 'postgres', 'broken'))
  return conclude(complaints, 'every broken store was found out', 'the runner does not find what it has to find')
}

/** Of a short run on a machine that does other things too, it says nothing how fast it was well again. */
function isFaulty({ faults }: Row): boolean {
  return faults.some((fault) => !given.check || !fault.includes('slow to recover'))
}

function scenarioNamed(name: string): Scenario {
  const found = scenarios.find((scenario) => scenario.name === name)
  if (!found) throw new UsageError(`no scenario is called ${name}: npm run chaos -- --list`)
  return found
}

/** Where a store can be at all. */
function isChosen(database: DatabaseName): boolean {
  if (given.database && given.database !== database) return false
  const only: Partial<Record<StoreName, readonly DatabaseName[]>> = { 'connect-redis': ['redis'], 'connect-pg-simple': ['postgres'] }
  return (only[given.store as StoreName] ?? ['postgres', 'mysql']).includes(database)
}

async function runOne(scenario: Scenario, database: DatabaseName, store = given.store as StoreName): Promise<Row | undefined> {
  const label = `${scenario.name} on ${database}`
  const run: Run = {
    store,
    scenario: scenario.name,
    ...timesOf(scenario, given.seconds),
    visitors: Number(given.visitors ?? scenario.visitors ?? 100),
    options: { ...scenario.options, ...JSON.parse(given.options) },
    promised: scenario.promised,
    noErrors: scenario.noErrors ?? false,
    mustOccur: scenario.mustOccur,
    say: (text) => progress(`${label}: ${text}`)
  }
  try {
    const row = await scenario.run(database, run)
    const counts = row.mustOccur.map((error) => `, error ${error} came ${row.serverErrors[error] ?? 0} times`).join('')
    progress(`${label}: ${row.faults.join(', ') || 'clean'}${counts}\n`)
    return row
  } catch (error) {
    progress(`${label}: not run\n`)
    console.error(error)
    return undefined
  }
}

function progress(text: string): void {
  const isLast = text.endsWith('\n')
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`)
  else if (isLast || performance.now() - lastSaid > 5_000) {
    lastSaid = performance.now()
    process.stderr.write(isLast ? text : `${text}\n`)
  }
}
